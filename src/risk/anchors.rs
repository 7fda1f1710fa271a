//! Chooses how the anchors of detectors and phrases are searched for, and searches.
//!
//! Teddy compares the first four bytes of up to 32 literals, sorted into eight buckets, at some 12 GB/s a pass, and
//! loses that speed to every place where a bucket's four bytes match by chance. So of each anchor the rarest stretch is
//! looked for (`w on` of `from now on`), and literals that look alike share a bucket. On English that made the scan
//! twice as fast; one search for all anchors at once was five times slower. See `benches/risk.rs`.

use aho_corasick::packed::{self, MatchKind, Searcher};
use aho_corasick::{AhoCorasick, Input, Span};

/// What Teddy looks at of each literal, in bytes. Shorter literals would shorten it for all of their set, so they have
/// sets of their own.
const LOOK: usize = 4;

/// Teddy's buckets, and how many literals go into each.
const BUCKETS: usize = 8;
const BUCKET: usize = 4;

/// Bytes folded at once; small enough to stay in the first-level cache.
const STRIDE: usize = 4096;

/// Longest text that is folded as one, in bytes; less than a stride.
const SHORT: usize = 256;

/// Longest anchor, in bytes.
pub(super) const LONGEST: usize = 40;

/// Common English, from which the rarity of four bytes is estimated. Which words these are is not critical.
const COMMON: &str = "the be to of and a in that have it for not on with he as you do at this but his by from they we say her \
    she or an will my one all would there their what so up out if about who get which go me when make can like time no just him \
    know take people into year your good some could them see other than then now look only come its over think also back after \
    use two how our work first well way even new want because any these give day most us is was are has been were said did \
    having may should through must before between being under never same another while last might great old off against still \
    own place where those part much right world again change number system program question during play government run small \
    every found house page different state family water long hand high each follow act why ask men need land here big such \
    point large example important information research service provide required development available include using please \
    general business support health company order process without within message customer report result";

/// The anchors of owners of type `O`, ready to be searched for.
#[derive(Debug)]
pub(super) struct Anchors<O> {
    sets: Vec<Set<O>>,
}

/// The literals of one search, and whose they are, by number.
#[derive(Debug)]
struct Set<O> {
    search: Search,
    owners: Vec<Vec<Claim<O>>>,
}

/// How literals are searched for; which depends on the machine's vector instructions.
#[derive(Debug)]
enum Search {
    Teddy(Searcher),
    Automaton(AhoCorasick),
}

/// Who wants to know of a literal: the anchor it was cut from starts `skipped` bytes before it and has `len` bytes.
#[derive(Debug, Clone, Copy)]
struct Claim<O> {
    owner: O,
    skipped: usize,
    len: usize,
}

/// A literal to be searched for, folded, and whose it is.
#[derive(Debug, Clone)]
struct Literal<O> {
    bytes: Vec<u8>,
    claims: Vec<Claim<O>>,
}

/// The scanner's tables cannot be compiled on this machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the scanner's literals cannot be compiled")]
pub struct NotCompiled;

impl<O: Copy> Anchors<O> {
    /// Arranges anchors of at least three bytes.
    ///
    /// # Errors
    /// [`NotCompiled`] when the search library takes none of its forms for them.
    pub(super) fn compile(anchors: impl Iterator<Item = (&'static str, O)>) -> Result<Self, NotCompiled> {
        let rarity = Rarity::of(COMMON.as_bytes());
        let (full, short): (Vec<_>, Vec<_>) =
            literals(anchors, &rarity).into_iter().partition(|literal| literal.bytes.len() >= LOOK);
        let sets = rarity.buckets(full);
        let sets = sets.chunks(BUCKETS).map(interleave).chain(short.chunks(BUCKETS).map(<[_]>::to_vec));
        Ok(Self { sets: sets.map(Set::compile).collect::<Result<_, _>>()? })
    }

    /// Tells `see` of each place where an anchor may stand: whose, where it starts, how long it is. Only a stretch of it
    /// was compared, and folded: its owner has to look.
    pub(super) fn each(&self, text: &[u8], mut see: impl FnMut(O, usize, usize)) {
        // Most texts are short, and a buffer for a long one takes longer to clear than a short one to search.
        if text.len() <= SHORT {
            self.each_stride(text, &mut [0; SHORT], &mut see);
        } else {
            self.each_stride(text, &mut [0; STRIDE + LONGEST], &mut see);
        }
    }

    fn each_stride(&self, text: &[u8], folded: &mut [u8], see: &mut impl FnMut(O, usize, usize)) {
        let mut from = 0;
        while from < text.len() {
            // Each stride sees the beginning of the next one, so that no anchor is cut in two.
            let read = text.get(from..text.len().min(from + folded.len())).unwrap_or_default();
            for (to, b) in folded.iter_mut().zip(read) {
                *to = fold(*b);
            }
            let window = folded.get(..read.len()).unwrap_or_default();
            for set in &self.sets {
                set.each(window, |claim, at| {
                    if let Some(start) = (from + at).checked_sub(claim.skipped) {
                        see(claim.owner, start, claim.len);
                    }
                });
            }
            from += STRIDE;
        }
    }
}

impl<O: Copy> Set<O> {
    fn compile(literals: Vec<Literal<O>>) -> Result<Self, NotCompiled> {
        let patterns = || literals.iter().map(|literal| &literal.bytes);
        let teddy = packed::Config::new().match_kind(MatchKind::LeftmostFirst).builder().extend(patterns()).build();
        let search = match teddy {
            Some(searcher) => Search::Teddy(searcher),
            None => Search::Automaton(AhoCorasick::new(patterns()).map_err(|_| NotCompiled)?),
        };
        Ok(Self { search, owners: literals.into_iter().map(|literal| literal.claims).collect() })
    }

    /// Each literal that starts in the first stride of `window`.
    fn each(&self, window: &[u8], mut see: impl FnMut(Claim<O>, usize)) {
        let mut from = 0;
        while let Some((literal, at)) = self.next(window, from)
            && at < STRIDE
        {
            for claim in self.owners.get(literal).into_iter().flatten() {
                see(*claim, at);
            }
            from = at + 1;
        }
    }

    fn next(&self, window: &[u8], from: usize) -> Option<(usize, usize)> {
        let found = match &self.search {
            Search::Teddy(searcher) => searcher.find_in(window, Span { start: from, end: window.len() })?,
            Search::Automaton(automaton) => automaton.find(Input::new(window).range(from..))?,
        };
        Some((found.pattern().as_usize(), found.start()))
    }
}

/// Makes the cases of ASCII letters equal in one instruction. It makes a few others equal too (`@` and a backtick, a line
/// feed and `*`), which whoever confirms an anchor tells apart.
const fn fold(b: u8) -> u8 {
    b | 0x20
}

/// The rarest stretch of each anchor, each once; none begins another, because that would hide it.
fn literals<O: Copy>(anchors: impl Iterator<Item = (&'static str, O)>, rarity: &Rarity) -> Vec<Literal<O>> {
    let mut cut: Vec<(Vec<u8>, Claim<O>)> = anchors
        .map(|(anchor, owner)| {
            let folded: Vec<u8> = anchor.bytes().map(fold).collect();
            let skipped = rarity.rarest(&folded);
            (folded.get(skipped..).unwrap_or_default().to_vec(), Claim { owner, skipped, len: anchor.len() })
        })
        .collect();
    cut.sort_by_key(|(bytes, _)| bytes.len());
    let mut all: Vec<Literal<O>> = Vec::new();
    for (bytes, claim) in cut {
        match all.iter_mut().find(|known| bytes.starts_with(&known.bytes)) {
            Some(known) => known.claims.push(claim),
            None => all.push(Literal { bytes, claims: vec![claim] }),
        }
    }
    all
}

/// Orders the literals of up to eight buckets so that the search library, which deals them out in turn, puts each into
/// its bucket.
fn interleave<O: Copy>(buckets: &[Vec<Literal<O>>]) -> Vec<Literal<O>> {
    (0..BUCKET).flat_map(|i| buckets.iter().filter_map(move |bucket| bucket.get(i).cloned())).collect()
}

/// How often bytes follow one another in English, roughly.
struct Rarity {
    /// How often one kind of byte follows another.
    pairs: Vec<[f64; KINDS]>,
    /// How often each kind of byte comes at all.
    single: [f64; KINDS],
}

/// Letters, space, digits, punctuation, and everything else.
const KINDS: usize = 30;

fn kind(b: u8) -> usize {
    match b {
        b'a'..=b'z' => usize::from(b - b'a'),
        b' ' => 26,
        b'0'..=b'9' => 27,
        b'-' | b'.' | b',' | b'\'' | b':' | b'*' => 28,
        _ => 29,
    }
}

impl Rarity {
    fn of(sample: &[u8]) -> Self {
        // What the sample lacks is rare, not impossible.
        let (mut pairs, mut single) = (vec![[0.02; KINDS]; KINDS], [0.6; KINDS]);
        for (a, b) in sample.iter().zip(sample.iter().skip(1)) {
            if let Some(n) = pairs.get_mut(kind(*a)).and_then(|row| row.get_mut(kind(*b))) {
                *n += 1.0;
            }
            if let Some(n) = single.get_mut(kind(*a)) {
                *n += 1.0;
            }
        }
        for (row, n) in pairs.iter_mut().zip(single) {
            for pair in row {
                *pair /= n;
            }
        }
        let all: f64 = single.iter().sum();
        Self { pairs, single: single.map(|n| n / all) }
    }

    fn of_byte(&self, b: u8) -> f64 {
        self.single.get(kind(b)).copied().unwrap_or_default()
    }

    fn of_bytes(&self, bytes: &[u8]) -> f64 {
        let first = bytes.first().map_or(0.0, |b| self.of_byte(*b));
        bytes.windows(2).fold(first, |p, pair| {
            let &[a, b] = pair else { return p };
            p * self.pairs.get(kind(a)).and_then(|row| row.get(kind(b))).copied().unwrap_or_default()
        })
    }

    /// Where the rarest four bytes of an anchor start.
    fn rarest(&self, anchor: &[u8]) -> usize {
        let looks = anchor.windows(LOOK).enumerate();
        looks.min_by(|(_, a), (_, b)| self.of_bytes(a).total_cmp(&self.of_bytes(b))).map_or(0, |(at, _)| at)
    }

    /// How often a bucket matches by chance. Teddy knows of each of the four bytes only which low and which high halves
    /// occur in the bucket.
    fn of_bucket<'a>(&self, literals: &(impl Iterator<Item = &'a [u8]> + Clone)) -> f64 {
        (0..LOOK)
            .map(|i| {
                let (mut low, mut high) = (0_u16, 0_u16);
                for b in literals.clone().filter_map(|bytes| bytes.get(i)) {
                    low |= 1 << (b & 15);
                    high |= 1 << (b >> 4);
                }
                let matches = |b: &u8| low >> (b & 15) & 1 == 1 && high >> (b >> 4) & 1 == 1;
                (b'a'..=b'z').chain([b' ']).filter(matches).map(|b| self.of_byte(b)).sum::<f64>() + 0.002
            })
            .product()
    }

    /// Sorts literals into buckets of four: each, the most frequent first, to where it does the least harm.
    fn buckets<O: Copy>(&self, mut literals: Vec<Literal<O>>) -> Vec<Vec<Literal<O>>> {
        literals.sort_by(|a, b| self.of_bytes(look(b)).total_cmp(&self.of_bytes(look(a))));
        let mut buckets: Vec<Vec<Literal<O>>> = Vec::new();
        buckets.resize_with(literals.len().div_ceil(BUCKET), Vec::new);
        for literal in literals {
            let harm = |bucket: &Vec<Literal<O>>| {
                let now = bucket.iter().map(look);
                let before = if bucket.is_empty() { 0.0 } else { self.of_bucket(&now) };
                self.of_bucket(&now.chain([look(&literal)])) - before
            };
            let open = buckets.iter_mut().filter(|bucket| bucket.len() < BUCKET);
            if let Some(best) = open.map(|bucket| (harm(bucket), bucket)).min_by(|(a, _), (b, _)| a.total_cmp(b)) {
                best.1.push(literal);
            }
        }
        buckets
    }
}

/// What Teddy looks at of a literal.
fn look<O>(literal: &Literal<O>) -> &[u8] {
    literal.bytes.get(..LOOK).unwrap_or(&literal.bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    const WORDS: &[&str] =
        &["AKIA", "from now on", "sk-", "ignor", "ghp_", "gho_", "忽略", "github_pat_", "now on", "w on top"];

    fn places(text: &str) -> Vec<(usize, usize)> {
        static ANCHORS: LazyLock<Anchors<usize>> =
            LazyLock::new(|| Anchors::compile(WORDS.iter().enumerate().map(|(i, word)| (*word, i))).unwrap());
        let mut found = Vec::new();
        ANCHORS.each(text.as_bytes(), |i, at, len| {
            if text.as_bytes()[at..].get(..len).is_some_and(|here| here.eq_ignore_ascii_case(WORDS[i].as_bytes())) {
                found.push((at, i));
            }
        });
        found.sort_unstable();
        found
    }

    fn by_hand(text: &str) -> Vec<(usize, usize)> {
        let here = |at: usize, word: &str| {
            text.as_bytes()[at..].get(..word.len()).is_some_and(|h| h.eq_ignore_ascii_case(word.as_bytes()))
        };
        (0..text.len())
            .flat_map(|at| (0..WORDS.len()).filter(move |i| here(at, WORDS[*i])).map(move |i| (at, i)))
            .collect()
    }

    #[test]
    fn the_rarest_stretch_of_an_anchor_is_searched_for() {
        let rarity = Rarity::of(COMMON.as_bytes());
        assert!(rarity.of_bytes(b"the ") > 100.0 * rarity.of_bytes(b"ghp_"));
        assert_ne!(rarity.rarest(b"the zqxj"), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_anchor_is_seen_wherever_it_stands(
            before in prop_oneof![Just(0_usize), 4070..4110_usize, 8170..8200_usize],
            pieces in proptest::collection::vec(prop_oneof![proptest::sample::select(WORDS.to_vec()), Just(" "), Just("x")], 0..20),
        ) {
            let text = format!("{}{}", ".".repeat(before), pieces.concat());
            prop_assert_eq!(places(&text), by_hand(&text));
        }
    }
}
