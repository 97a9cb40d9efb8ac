//! What the same log entry means is the same on every broker and at every replay: the rules for it change by an entry.
//!
//! A region begins with rules 0. Its active controller has it go by newer ones once all brokers that are let in know
//! them; entries before that keep the meaning they had (Kafka's feature levels, KIP-584).

use super::{Answer, Command, Image, Refusal, Reign};

/// The newest rules known here:
///
/// - 0: a partition is led by its in-sync replicas only, however they restarted;
/// - 1: eligible leader replicas and unclean restarts (KIP-966).
pub const RULES: u32 = ELIGIBLE_LEADERS;

/// The rules that bring eligible leader replicas.
pub(super) const ELIGIBLE_LEADERS: u32 = 1;

impl Image {
    /// What the active controller has to propose for the region to go by the newest rules that all brokers know which are
    /// let in; `None` where it does.
    pub fn rules_due(&self, reign: Reign) -> Option<Command> {
        let known = self.members().filter(|(_, broker)| !broker.is_fenced()).map(|(_, broker)| broker.boot.rules);
        let rules = known.min()?.min(RULES);
        (rules > self.rules).then_some(Command::AdoptRules { reign, rules })
    }

    pub(super) fn adopt_rules(&mut self, reign: Reign, rules: u32) -> Result<Answer, Refusal> {
        self.check_reign(reign)?;
        if rules > RULES {
            return Err(Refusal::UnknownRules { given: rules, known: RULES });
        }
        if rules <= self.rules {
            return Ok(Answer::Unchanged);
        }
        self.rules = rules;
        Ok(Answer::Applied)
    }

    pub(super) fn goes_by(&self, rules: u32) -> bool {
        self.rules >= rules
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{founded_before_rules, register, register_as};
    use super::super::{Boot, Image};
    use super::*;
    use model::BrokerSlot;

    #[test]
    fn newer_rules_hold_once_all_that_are_let_in_know_them() {
        let mut image = founded_before_rules();
        let (reign, boot) = (image.reign(), Boot { rules: RULES, ..Boot::default() });
        assert_eq!(image.rules_due(reign), None, "nobody is let in");
        register_as(&mut image, BrokerSlot(0), boot.clone());
        register(&mut image, BrokerSlot(1));
        assert_eq!(image.rules_due(reign), None, "one does not know them");
        register_as(&mut image, BrokerSlot(1), boot);
        let due = image.rules_due(reign).unwrap();
        assert_eq!(image.apply(due), Ok(Answer::Applied));
        assert_eq!((image.rules_due(reign), image.goes_by(ELIGIBLE_LEADERS)), (None, true));
        let refused = image.apply(Command::AdoptRules { reign, rules: RULES + 1 });
        assert_eq!(refused, Err(Refusal::UnknownRules { given: RULES + 1, known: RULES }));
    }

    #[test]
    fn an_image_of_before_is_read_and_goes_by_the_rules_of_before() {
        let mut image = founded_before_rules();
        register(&mut image, BrokerSlot(0));
        let mut written = serde_json::to_value(&image).unwrap();
        written.as_object_mut().unwrap().remove("rules");
        written["brokers"]["0"].as_object_mut().unwrap().remove("boot");
        let read: Image = serde_json::from_value(written).unwrap();
        assert!(!read.goes_by(ELIGIBLE_LEADERS));
        assert_eq!(read, image);
    }

    #[test]
    fn an_entry_of_before_is_read() {
        let entry = serde_json::json!({ "register_broker": {
            "slot": 0, "incarnation": 1, "addresses": { "clients": "", "gateways": "", "internal": "" }
        }});
        let read: Command = serde_json::from_value(entry).unwrap();
        assert!(matches!(read, Command::RegisterBroker { boot, .. } if boot == Boot::default()));
    }
}
