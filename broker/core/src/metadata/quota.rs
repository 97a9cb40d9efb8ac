use super::{Answer, Image, Refusal};
use crate::quota::{Change, Quotas};
use model::limits::QUOTA_ENTITIES_MAX;
use std::sync::Arc;

impl Image {
    /// How much clients may use.
    pub fn quotas(&self) -> &Arc<Quotas> {
        &self.quotas
    }

    /// Makes all of `changes`, or none.
    pub(super) fn alter_quotas(&mut self, changes: &[Change]) -> Result<Answer, Refusal> {
        let mut quotas = Quotas::clone(&self.quotas);
        let changed = changes.iter().filter(|change| quotas.change(change)).count();
        if changed == 0 {
            return Ok(Answer::Unchanged);
        }
        if quotas.len() > QUOTA_ENTITIES_MAX.max(self.quotas.len()) {
            return Err(Refusal::TooManyQuotas { entities: quotas.len(), most: QUOTA_ENTITIES_MAX });
        }
        self.quotas = Arc::new(quotas);
        Ok(Answer::Applied)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::*;
    use crate::quota::{Entity, Limit, Part};
    use std::collections::BTreeMap;

    fn change(client: &str, rate: Option<f64>) -> Change {
        let limit = Limit::ProducerByteRate;
        let rate = rate.map(|rate| limit.rate(rate).unwrap());
        Change { entity: Entity::Client(Part::named(client)), limits: BTreeMap::from([(limit, rate)]) }
    }

    fn apply(image: &mut Image, changes: Vec<Change>) -> Result<Answer, Refusal> {
        image.apply(Command::AlterQuotas { changes })
    }

    #[test]
    fn quotas_are_set_and_taken_away_and_survive_a_snapshot() {
        let mut image = Image::default();
        assert_eq!(apply(&mut image, vec![change("a", Some(5.0)), change("b", Some(7.0))]), Ok(Answer::Applied));
        assert_eq!(apply(&mut image, vec![change("a", Some(5.0))]), Ok(Answer::Unchanged));
        let json = serde_json::to_string(&image).unwrap();
        assert_eq!(serde_json::from_str::<Image>(&json).unwrap(), image);
        assert_eq!(apply(&mut image, vec![change("a", None)]), Ok(Answer::Applied));
        assert_eq!(image.quotas().len(), 1);
    }

    #[test]
    fn a_snapshot_from_before_quotas_has_none() {
        let mut json = serde_json::to_value(Image::default()).unwrap();
        json.as_object_mut().unwrap().remove("quotas");
        assert!(serde_json::from_value::<Image>(json).unwrap().quotas().is_empty());
    }

    #[test]
    fn there_is_an_end_to_them() {
        let mut image = Image::default();
        let all = (0..QUOTA_ENTITIES_MAX).map(|n| change(&n.to_string(), Some(1.0))).collect();
        assert_eq!(apply(&mut image, all), Ok(Answer::Applied));
        let refused = apply(&mut image, vec![change("one more", Some(1.0))]);
        assert!(matches!(refused, Err(Refusal::TooManyQuotas { .. })));
        assert_eq!(apply(&mut image, vec![change("0", Some(2.0))]), Ok(Answer::Applied));
    }
}
