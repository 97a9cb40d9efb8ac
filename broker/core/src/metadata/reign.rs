use serde::{Deserialize, Serialize};
use std::fmt;

/// The number of a controller's time in reign: of two controllers the later has the higher one.
///
/// A term alone does not tell: the quorum may elect two leaders in one term, one after the other, but then the later one
/// has the higher node (votes are compared by both).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Written", into = "(u64, u64)")]
pub struct Reign {
    /// The term in the quorum; 0 before the first controller.
    pub term: u64,
    /// The quorum's node.
    pub node: u64,
}

impl Reign {
    /// That of `node`, elected for `term`.
    pub fn of(term: u64, node: impl Into<u64>) -> Self {
        Self { term, node: node.into() }
    }
}

/// What was written before nodes were counted has a term alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Term(u64),
    Whole(u64, u64),
}

impl From<Written> for Reign {
    fn from(written: Written) -> Self {
        match written {
            Written::Term(term) => Self { term, node: 0 },
            Written::Whole(term, node) => Self { term, node },
        }
    }
}

impl From<Reign> for (u64, u64) {
    fn from(reign: Reign) -> Self {
        (reign.term, reign.node)
    }
}

impl fmt::Display for Reign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "term {} (node {})", self.term, self.node)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Command, Image, Refusal};
    use super::*;

    #[test]
    fn what_was_written_with_a_term_alone_is_read() {
        assert_eq!(serde_json::from_str::<Reign>("3").unwrap(), Reign::of(3, 0_u64));
        let command = serde_json::from_str(r#"{"take_office":{"term":3}}"#);
        assert_eq!(command.ok(), Some(Command::TakeOffice { reign: Reign::of(3, 0_u64) }));
        let mut json = serde_json::to_value(Image::default()).unwrap();
        json.as_object_mut().unwrap().remove("reign");
        json["controller_term"] = 7.into();
        assert_eq!(serde_json::from_value::<Image>(json).unwrap().reign(), Reign::of(7, 0_u64));
    }

    #[test]
    fn it_is_written_and_read_whole() {
        let reign = Reign::of(3, 65537_u64);
        let json = serde_json::to_string(&reign).unwrap();
        assert_eq!((json.as_str(), serde_json::from_str(&json).ok()), ("[3,65537]", Some(reign)));
    }

    #[test]
    fn of_two_controllers_that_share_a_term_the_earlier_is_refused() {
        let mut image = Image::default();
        let (first, second) = (Reign::of(3, 1_u64), Reign::of(3, 2_u64));
        image.apply(Command::TakeOffice { reign: first }).unwrap();
        image.apply(Command::TakeOffice { reign: second }).unwrap();
        let late = image.apply(Command::TakeOffice { reign: first });
        assert_eq!(late, Err(Refusal::ControllerOutdated { given: first, current: second }));
    }
}
