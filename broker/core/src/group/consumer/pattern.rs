use crate::group::GroupError;
use regex::{Regex, RegexBuilder};

/// The longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 4096;
/// The most memory a compiled pattern may take.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// A pattern of topic names in RE2's syntax (KIP-848). It holds for a name only as a whole, takes time linear in the
/// name, and never matches the broker's own topics.
pub(super) struct Pattern(Regex);

impl Pattern {
    /// Compiles it.
    ///
    /// # Errors
    /// [`GroupError::InvalidPattern`] when it is none, or too large.
    pub(super) fn compile(text: &str) -> Result<Self, GroupError> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(GroupError::InvalidPattern(format!(
                "it has {} bytes; {PATTERN_BYTES_MAX} are allowed",
                text.len()
            )));
        }
        let whole = format!(r"\A(?:{})\z", unquoted(text));
        let built = RegexBuilder::new(&whole).size_limit(COMPILED_BYTES_MAX).dfa_size_limit(COMPILED_BYTES_MAX).build();
        // The alternative is checked by itself first: the brackets around it must not be closed by it.
        let alone = RegexBuilder::new(&unquoted(text)).size_limit(COMPILED_BYTES_MAX).build();
        let invalid = |error: regex::Error| GroupError::InvalidPattern(error.to_string());
        alone.map_err(invalid)?;
        built.map(Self).map_err(invalid)
    }

    /// Whether it holds for the topic called `name`.
    pub(super) fn matches(&self, name: &str) -> bool {
        !name.starts_with("__") && self.0.is_match(name)
    }
}

/// RE2 quotes with `\Q...\E`, which the engine here does not know.
fn unquoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, quoted)) = split_at_quote(rest) {
        out.push_str(before);
        let (literal, behind) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
        out.push_str(&regex::escape(literal));
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// What is before the first `\Q` that is not itself escaped, and what is behind it.
fn split_at_quote(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        if escaped && byte == b'Q' {
            return Some((&text[..at - 1], &text[at + 1..]));
        }
        escaped = byte == b'\\' && !escaped;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::compile(pattern).unwrap().matches(name)
    }

    #[test]
    fn a_pattern_holds_for_whole_names() {
        assert!(matches("orders-.*", "orders-eu"));
        assert!(!matches("orders", "orders-eu"));
        assert!(!matches("rders", "orders"));
        assert!(matches("a|bc", "bc"));
        assert!(!matches("a|bc", "abc"));
        assert!(matches("^orders.*$", "orders"));
    }

    #[test]
    fn quoted_parts_are_literal() {
        assert!(matches(r"\Qa.b\E.*", "a.bc"));
        assert!(!matches(r"\Qa.b\E", "axb"));
        assert!(matches(r"\Qa.b", "a.b"));
        assert!(matches(r"\\Q", r"\Q"));
    }

    #[test]
    fn the_brokers_own_topics_are_nobodys() {
        assert!(!matches(".*", "__consumer_offsets"));
        assert!(matches(".*", "_mine"));
    }

    #[test]
    fn what_is_no_pattern_or_too_large_is_refused() {
        for bad in ["(", "a)", r"(a)\1", "(?=x)", "a{1000}{1000}{1000}", ")(", &"a".repeat(5000)] {
            assert!(matches!(Pattern::compile(bad), Err(GroupError::InvalidPattern(_))), "{bad}");
        }
    }
}
