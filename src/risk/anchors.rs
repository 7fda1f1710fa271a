//! Chooses how the anchors of detectors and phrases are searched for, and searches.
//!
//! Teddy compares the first four bytes of up to 32 literals, sorted into eight buckets, at some 12 GB/s a pass, and
//! loses that speed to every place where a bucket's four bytes match by chance. So of each anchor a rare stretch is looked
//! for (` now` of `from now on`), anchors that have one in common share it, and literals that look alike share a bucket. On
//! English that made the scan twice as fast; one search for all anchors at once was five times slower. Every 32 literals
//! are a pass over the text, so those that only text beyond ASCII can hold are looked for only there. See
//! `benches/risk.rs`.

use std::collections::BTreeMap;
use std::fmt;

use aho_corasick::packed::{self, MatchKind, Searcher};
use aho_corasick::{AhoCorasick, Input, Span};
use memchr::memmem::Finder;

/// What Teddy looks at of each literal, in bytes. Shorter literals would shorten it for all of their set, so each is
/// searched for alone.
const LOOK: usize = 4;

/// How often a stretch of [`LOOK`] bytes may come in English, as a share of all places, to be looked for in the place of
/// rarer ones.
const RARE: f64 = 3e-5;

/// What a literal costs for its place in a pass, and what it costs when it is met whole and its owners have to look,
/// against one for a candidate that Teddy dismisses. Together with [`RARE`] found by trial: the anchors of ASCII text
/// make 64 literals, two passes, and prose meets none of them by chance.
const PLACE: f64 = 1e-4;
const MET: f64 = 20.0;

/// Teddy's buckets, and how many literals go into each.
const BUCKETS: usize = 8;
const BUCKET: usize = 4;

/// Bytes folded at once; small enough to stay in the first-level cache.
const STRIDE: usize = 4096;

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
    /// Of anchors that no ASCII text has.
    beyond_ascii: Vec<Set<O>>,
}

/// Room for a stretch of folded text. Kept from one text to the next, because to clear a stride of fresh memory takes as
/// long as to search a short text.
#[derive(Clone, Default)]
pub(super) struct Folded(Vec<u8>);

impl Folded {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }
}

/// Shows nothing: it is content.
impl fmt::Debug for Folded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Folded")
    }
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
    Alone(Finder<'static>),
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
        let folded = anchors.map(|(anchor, owner)| -> Anchor<O> { (anchor.bytes().map(fold).collect(), owner) });
        let (ascii, beyond) = folded.partition(|(bytes, _)| bytes.is_ascii());
        Ok(Self { sets: sets(ascii, &rarity)?, beyond_ascii: sets(beyond, &rarity)? })
    }

    /// Tells `see` of each place where an anchor may stand: whose, where it starts, how long it is. Only a stretch of it
    /// was compared, and folded: its owner has to look.
    pub(super) fn each(&self, text: &[u8], Folded(folded): &mut Folded, mut see: impl FnMut(O, usize, usize)) {
        let mut from = 0;
        while from < text.len() {
            // Each stride sees the beginning of the next one, so that no anchor is cut in two.
            let read = text.get(from..text.len().min(from + STRIDE + LONGEST)).unwrap_or_default();
            folded.clear();
            folded.extend(read.iter().map(|b| fold(*b)));
            let is_ascii = folded.iter().fold(0, |all, b| all | b) < 0x80;
            let beyond_ascii = if is_ascii { &[][..] } else { &self.beyond_ascii };
            for set in self.sets.iter().chain(beyond_ascii) {
                set.each(folded, |claim, at| {
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
    fn alone(literal: Literal<O>) -> Self {
        Self { search: Search::Alone(Finder::new(&literal.bytes).into_owned()), owners: vec![literal.claims] }
    }

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
            Search::Alone(finder) => return Some((0, from + finder.find(window.get(from..)?)?)),
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

/// An anchor, folded, and whose it is.
type Anchor<O> = (Vec<u8>, O);

/// The searches for some anchors.
fn sets<O: Copy>(anchors: Vec<Anchor<O>>, rarity: &Rarity) -> Result<Vec<Set<O>>, NotCompiled> {
    let (full, short): (Vec<_>, Vec<_>) = anchors.into_iter().partition(|(bytes, _)| bytes.len() >= LOOK);
    let buckets = rarity.buckets(stretches(&full, rarity));
    let together = buckets.chunks(BUCKETS).map(|buckets| Set::compile(interleave(buckets)));
    together.chain(whole(short).into_iter().map(|literal| Ok(Set::alone(literal)))).collect()
}

/// Each anchor as it is, those that are the same once.
fn whole<O>(anchors: Vec<Anchor<O>>) -> Vec<Literal<O>> {
    let mut all: BTreeMap<Vec<u8>, Vec<Claim<O>>> = BTreeMap::new();
    for (bytes, owner) in anchors {
        let len = bytes.len();
        all.entry(bytes).or_default().push(Claim { owner, skipped: 0, len });
    }
    all.into_iter().map(|(bytes, claims)| Literal { bytes, claims }).collect()
}

/// Of each anchor one rare stretch, as long as those that share it agree: few stretches for all of them, by the greedy
/// cover of a set. None begins another, because that would hide it: they differ in what Teddy looks at.
fn stretches<O: Copy>(anchors: &[Anchor<O>], rarity: &Rarity) -> Vec<Literal<O>> {
    // Whose each stretch could be.
    let mut of: BTreeMap<&[u8], Vec<Place>> = BTreeMap::new();
    for (number, (anchor, _)) in anchors.iter().enumerate() {
        let rarest = anchor.windows(LOOK).map(|look| rarity.of_bytes(look)).fold(f64::INFINITY, f64::min);
        for (skipped, look) in anchor.windows(LOOK).enumerate() {
            if rarity.of_bytes(look) <= rarest.max(RARE) {
                let places = of.entry(look).or_default();
                if places.last().is_none_or(|(last, _)| *last != number) {
                    places.push((number, skipped));
                }
            }
        }
    }
    let mut all = Vec::new();
    let worth = |look: &[u8], places: &[Place]| worth(look, common(anchors, places), places.len(), rarity);
    while let Some((_, places)) = of.iter().max_by(|(a, x), (b, y)| worth(a, x).total_cmp(&worth(b, y)))
        && !places.is_empty()
    {
        let places = places.clone();
        let claim = |(number, skipped): &Place| {
            anchors.get(*number).map(|(bytes, owner)| Claim { owner: *owner, skipped: *skipped, len: bytes.len() })
        };
        let bytes = common(anchors, &places).to_vec();
        all.push(Literal { bytes, claims: places.iter().filter_map(claim).collect() });
        let done = |number: &usize| places.iter().any(|(covered, _)| covered == number);
        for places in of.values_mut() {
            places.retain(|(number, _)| !done(number));
        }
    }
    all
}

/// Which anchor, and how far into it.
type Place = (usize, usize);

/// What all these anchors go on with from these places.
fn common<'a, O>(anchors: &'a [Anchor<O>], places: &[Place]) -> &'a [u8] {
    let from = |(number, skipped): &Place| anchors.get(*number).and_then(|(bytes, _)| bytes.get(*skipped..));
    let shared = |a: &'a [u8], b: &'a [u8]| {
        let len = a.iter().zip(b).take_while(|(a, b)| a == b).count();
        a.get(..len).unwrap_or_default()
    };
    places.iter().filter_map(from).reduce(shared).unwrap_or_default()
}

/// How many anchors a stretch would stand for, against what that would cost.
#[expect(clippy::cast_precision_loss, reason = "a count of anchors is small")]
fn worth(look: &[u8], whole: &[u8], anchors: usize, rarity: &Rarity) -> f64 {
    anchors as f64 / (rarity.of_bytes(look) + MET * rarity.of_bytes(whole) + PLACE)
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
        ANCHORS.each(text.as_bytes(), &mut Folded::new(), |i, at, len| {
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
    fn a_rare_stretch_of_an_anchor_is_searched_for() {
        let rarity = Rarity::of(COMMON.as_bytes());
        assert!(rarity.of_bytes(b"the ") > 100.0 * rarity.of_bytes(b"ghp_"));
        let [literal] = &stretches(&[(b"the zqxj".to_vec(), ())], &rarity)[..] else { panic!("one stretch") };
        assert_ne!(literal.claims[0].skipped, 0);
    }

    #[test]
    fn anchors_with_a_stretch_in_common_share_it() {
        let anchors = [(b"zqxj one".to_vec(), 1), (b"two zqxj".to_vec(), 2)];
        let [literal] = &stretches(&anchors, &Rarity::of(COMMON.as_bytes()))[..] else { panic!("one stretch") };
        let claims: Vec<_> = literal.claims.iter().map(|claim| (claim.owner, claim.skipped)).collect();
        assert_eq!((&literal.bytes[..], &claims[..]), (&b"zqxj"[..], &[(1, 0), (2, 4)][..]));
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
