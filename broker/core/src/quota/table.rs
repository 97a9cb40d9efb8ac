use super::{Entity, Limit, Part, Rate};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Every quota of a region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(Entity, BTreeMap<Limit, Rate>)>", into = "Vec<(Entity, BTreeMap<Limit, Rate>)>")]
pub struct Quotas {
    entities: BTreeMap<Entity, BTreeMap<Limit, Rate>>,
}

/// What becomes of the limits of one entity; `None` takes one away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The entity.
    pub entity: Entity,
    /// Its limits.
    pub limits: BTreeMap<Limit, Option<Rate>>,
}

impl From<Vec<(Entity, BTreeMap<Limit, Rate>)>> for Quotas {
    fn from(entities: Vec<(Entity, BTreeMap<Limit, Rate>)>) -> Self {
        Self { entities: entities.into_iter().collect() }
    }
}

impl From<Quotas> for Vec<(Entity, BTreeMap<Limit, Rate>)> {
    fn from(quotas: Quotas) -> Self {
        quotas.entities.into_iter().collect()
    }
}

impl Quotas {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.entities.is_empty()
    }

    /// How many entities have limits.
    pub fn len(&self) -> usize {
        self.entities.len()
    }

    /// Every entity that has limits, and these.
    pub fn entities(&self) -> impl Iterator<Item = (&Entity, &BTreeMap<Limit, Rate>)> {
        self.entities.iter()
    }

    /// Makes a change; whether it changed anything.
    pub fn change(&mut self, Change { entity, limits }: &Change) -> bool {
        let known = self.entities.entry(entity.clone()).or_default();
        let before = known.clone();
        for (limit, rate) in limits {
            match rate {
                Some(rate) => known.insert(*limit, *rate),
                None => known.remove(limit),
            };
        }
        let is_changed = *known != before;
        if known.is_empty() {
            self.entities.remove(entity);
        }
        is_changed
    }

    /// What limits `client` of `user`, and who shares that limit: the most special entity that has it, in Kafka's order
    /// (KIP-55).
    pub fn limit_of(&self, limit: Limit, user: &str, client: &str) -> Option<(Entity, Rate)> {
        use Entity::{Client, User, UserClient};
        use Part::Default;
        let (user, client) = (Part::named(user), Part::named(client));
        let both = || UserClient(user.clone(), client.clone());
        let of_user = || User(user.clone());
        self.rate(&both(), limit)
            .map(|rate| (both(), rate))
            .or_else(|| self.rate(&UserClient(user.clone(), Default), limit).map(|rate| (both(), rate)))
            .or_else(|| self.rate(&of_user(), limit).map(|rate| (of_user(), rate)))
            .or_else(|| self.rate(&UserClient(Default, client.clone()), limit).map(|rate| (both(), rate)))
            .or_else(|| self.rate(&UserClient(Default, Default), limit).map(|rate| (both(), rate)))
            .or_else(|| self.rate(&User(Default), limit).map(|rate| (of_user(), rate)))
            .or_else(|| self.rate(&Client(client.clone()), limit).map(|rate| (Client(client.clone()), rate)))
            .or_else(|| self.rate(&Client(Default), limit).map(|rate| (Client(client.clone()), rate)))
    }

    /// What limits an address, which shares it with nobody.
    pub fn limit_of_ip(&self, limit: Limit, ip: &str) -> Option<(Entity, Rate)> {
        let ip = Entity::Ip(Part::named(ip));
        let rate = self.rate(&ip, limit).or_else(|| self.rate(&Entity::Ip(Part::Default), limit))?;
        Some((ip, rate))
    }

    fn rate(&self, entity: &Entity, limit: Limit) -> Option<Rate> {
        self.entities.get(entity)?.get(&limit).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit::ProducerByteRate;

    fn set(quotas: &mut Quotas, entity: Entity, rate: f64) -> bool {
        let limits = BTreeMap::from([(LIMIT, Some(LIMIT.rate(rate).unwrap()))]);
        quotas.change(&Change { entity, limits })
    }

    fn unset(quotas: &mut Quotas, entity: Entity) -> bool {
        quotas.change(&Change { entity, limits: BTreeMap::from([(LIMIT, None)]) })
    }

    #[test]
    fn the_most_special_entity_counts_and_says_who_shares() {
        let (name, any) = (Part::named, Part::Default);
        let both = Entity::UserClient(name("ann"), name("app"));
        let (user, client) = (Entity::User(name("ann")), Entity::Client(name("app")));
        // From the most general to the most special, each with who shares it.
        let order = [
            (Entity::Client(any.clone()), &client),
            (client.clone(), &client),
            (Entity::User(any.clone()), &user),
            (Entity::UserClient(any.clone(), any.clone()), &both),
            (Entity::UserClient(any.clone(), name("app")), &both),
            (user.clone(), &user),
            (Entity::UserClient(name("ann"), any), &both),
            (both.clone(), &both),
        ];
        let mut quotas = Quotas::default();
        assert_eq!(quotas.limit_of(LIMIT, "ann", "app"), None);
        for (at, (entity, share)) in order.into_iter().enumerate() {
            let rate = (at + 1) as f64;
            assert!(set(&mut quotas, entity, rate));
            let found = quotas.limit_of(LIMIT, "ann", "app").unwrap();
            assert_eq!((found.0, found.1.value()), (share.clone(), rate));
        }
        assert_eq!(quotas.limit_of(Limit::ConsumerByteRate, "ann", "app"), None);
    }

    #[test]
    fn what_has_no_limit_left_is_gone() {
        let (mut quotas, entity) = (Quotas::default(), Entity::Client(Part::Default));
        assert!(!unset(&mut quotas, entity.clone()));
        assert!(set(&mut quotas, entity.clone(), 5.0));
        assert!(!set(&mut quotas, entity.clone(), 5.0));
        assert!(unset(&mut quotas, entity));
        assert!(quotas.is_empty());
    }

    #[test]
    fn quotas_come_back_from_their_written_form() {
        let mut quotas = Quotas::default();
        set(&mut quotas, Entity::UserClient(Part::Default, Part::named("a\"b")), 7.0);
        set(&mut quotas, Entity::Client(Part::Default), 9.0);
        let json = serde_json::to_string(&quotas).unwrap();
        assert_eq!(serde_json::from_str::<Quotas>(&json).unwrap(), quotas);
    }
}
