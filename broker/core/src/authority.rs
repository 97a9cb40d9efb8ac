//! By what right the region writes: grant and lease together.

use crate::lease::Leases;
use crate::metadata::{Group, Image, Topic};
use crate::partition::Authority;
use model::GroupId;
use std::time::Duration;

/// Over the partitions of a topic.
pub fn over_topic(image: &Image, leases: &Leases, now: Duration, topic: &Topic) -> Authority {
    match &topic.group {
        None => Authority::Local,
        Some(_) if !image.takes_writes(topic) => Authority::Withheld,
        Some(group) => image.group(group).map_or(Authority::Withheld, |group| leased(leases, now, group)),
    }
}

/// Over a consumer group and its commits. A group no protection group covers is coordinated by nobody.
pub fn over_consumer_group(image: &Image, leases: &Leases, now: Duration, group: &GroupId) -> Authority {
    let coordinating = image.coordinating_group(group).filter(|group| group.takes_writes());
    coordinating.map_or(Authority::Withheld, |group| leased(leases, now, group))
}

fn leased(leases: &Leases, now: Duration, group: &Group) -> Authority {
    let standing = leases.standing(now, &group.grant.group, group.obeyed());
    standing.map_or(Authority::Withheld, |until| Authority::Leased { until })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::samples::{create, grant, local, name, registered};
    use model::{OwnershipEpoch, Pattern};

    #[test]
    fn writing_takes_an_open_grant_and_a_lease_under_it() {
        let (mut image, _) = registered();
        let mut granted = grant("orders", "r1", 1);
        granted.coverage.consumer_groups = vec![Pattern::Prefix("app".into())];
        image.apply(crate::metadata::Command::Obey { council_index: 1, grant: granted }).unwrap();
        let topic = create(&mut image, "eu.orders", Some("orders"), 1);
        let own = local(&mut image, "__consumer_offsets", 1);
        let (mut leases, now, until) = (Leases::default(), Duration::from_secs(1), Duration::from_secs(3));
        let over = |leases: &Leases, id| over_topic(&image, leases, now, image.topic(id).unwrap());
        let group = |leases: &Leases, id: &str| over_consumer_group(&image, leases, now, &GroupId::new(id));
        assert_eq!((over(&leases, topic), over(&leases, own)), (Authority::Withheld, Authority::Local));
        leases.extend(&name("orders"), OwnershipEpoch(1), until);
        assert_eq!(over(&leases, topic), Authority::Leased { until });
        assert_eq!(group(&leases, "app-1"), Authority::Leased { until });
        assert_eq!(group(&leases, "other"), Authority::Withheld);
    }

    #[test]
    fn a_lease_does_not_outlive_its_grant() {
        let (mut image, _) = registered();
        image.apply(crate::metadata::Command::Obey { council_index: 1, grant: grant("orders", "r1", 1) }).unwrap();
        let topic = create(&mut image, "eu.orders", Some("orders"), 1);
        let mut leases = Leases::default();
        leases.extend(&name("orders"), OwnershipEpoch(1), Duration::from_secs(3));
        image.apply(crate::metadata::Command::Obey { council_index: 2, grant: grant("orders", "r1", 2) }).unwrap();
        let authority = over_topic(&image, &leases, Duration::ZERO, image.topic(topic).unwrap());
        assert_eq!(authority, Authority::Withheld);
    }
}
