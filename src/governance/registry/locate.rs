//! Where in a file a byte of a scalar's text stands, for faults inside of expressions.

use crate::config::node::Place;

/// The place of byte `offset` of `value`, a scalar that stands at `at` in `text`. Exact for bare and quoted scalars of
/// one line without escapes and for literal blocks; elsewhere the scalar itself.
pub(super) fn within(text: &str, at: Place, value: &str, offset: usize) -> Place {
    exact(text, at, value, offset).unwrap_or(at)
}

fn exact(text: &str, at: Place, value: &str, offset: usize) -> Option<Place> {
    let before = value.get(..offset)?;
    let lines_down = before.matches('\n').count();
    let part = before.rsplit('\n').next()?;
    let start = at.start as usize;
    let (line_start, indent) = if lines_down == 0 {
        // A quote stands before the text of a quoted scalar.
        let quote = usize::from(text.get(start..)?.starts_with(['"', '\'']));
        (start + quote, quote)
    } else {
        let block = text.get(start..)?.split_inclusive('\n').take(lines_down).map(str::len).sum::<usize>();
        let indent = usize::try_from(at.column).ok()? - 1;
        (start + block + indent, 0)
    };
    if !text.get(line_start..)?.starts_with(part) {
        return None;
    }
    let narrow = |n: usize| u32::try_from(n).ok();
    let byte = narrow(line_start + part.len())?;
    Some(Place {
        line: at.line + narrow(lines_down)?,
        column: at.column + narrow(indent + part.chars().count())?,
        start: byte,
        end: byte + 1,
        origin: at.origin,
    })
}

#[cfg(test)]
mod tests {
    use super::within;
    use crate::config::format::rules;
    use crate::config::reading::Reading;

    fn place(when: &str) -> (u32, u32, char) {
        let text = format!("rules:\n  - name: a\n    when: {when}\n    then: block\n");
        let mut reading = Reading::open("r.yaml", text.as_bytes()).unwrap();
        let rule = rules::read(&mut reading).unwrap().remove(0);
        let offset = rule.entry.when.find('?').unwrap();
        let place = within(&text, rule.when_at, &rule.entry.when, offset);
        (place.line, place.column, text[place.start as usize..].chars().next().unwrap())
    }

    #[test]
    fn a_byte_of_an_expression_is_found_in_its_file() {
        assert_eq!(place("tenant == ?"), (3, 21, '?'));
        assert_eq!(place("\"tenant == ?\""), (3, 22, '?'));
        assert_eq!(place("'ä == ?'"), (3, 17, '?'));
        assert_eq!(place("|\n      a == 1 &&\n        b == ?\n"), (5, 14, '?'));
        assert_eq!(place("|\n      a == ?\n"), (4, 12, '?'));
    }

    #[test]
    fn where_it_cannot_be_told_the_whole_scalar_is_meant() {
        assert_eq!(place("\"a == \\\"x\\\" && ?\"").0, 3);
        assert_eq!(place(">\n      a\n      && ?\n").0, 4);
    }
}
