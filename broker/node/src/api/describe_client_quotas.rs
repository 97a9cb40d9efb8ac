//! DescribeClientQuotas: the limits of users, client ids and addresses.

use super::{Call, Started};
use crate::Broker;
use broker_core::quota::{Entity, Limit, Rate};
use bytes::Bytes;
use std::collections::BTreeMap;
use wire::ErrorCode;
use wire::api::describe_client_quotas::{
    ANY, Component, DEFAULT, EXACT, Entity as Part, Entry, Request, Response, Value,
};
use wire::codec::Double;

/// Why nothing is described.
type Refusal = (ErrorCode, String);

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let response = match Filter::of(&request) {
        Ok(filter) => {
            let image = broker.image();
            let matching = image.quotas().entities().filter(|(entity, _)| filter.matches(entity));
            let entries = matching.map(|(entity, limits)| entry(entity, limits)).collect();
            Response { entries: Some(entries), ..Default::default() }
        }
        Err((error_code, message)) => Response { error_code, error_message: Some(message), ..Default::default() },
    };
    Ok(call.reply(&response))
}

fn entry(entity: &Entity, limits: &BTreeMap<Limit, Rate>) -> Entry {
    let part = |(kind, name): (&str, Option<&str>)| Part {
        entity_type: kind.to_owned(),
        entity_name: name.map(str::to_owned),
        ..Default::default()
    };
    let value = |(limit, rate): (&Limit, &Rate)| Value {
        key: limit.name().to_owned(),
        value: Double(rate.value()),
        ..Default::default()
    };
    Entry {
        entity: entity.parts().into_iter().map(part).collect(),
        values: limits.iter().map(value).collect(),
        ..Default::default()
    }
}

/// What a part of an entity must be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// Just this name, or the default.
    Just(Option<String>),
    /// There, whatever it is.
    Any,
}

/// Which entities are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Filter {
    parts: BTreeMap<&'static str, Wanted>,
    /// Whether there may be no other part.
    strict: bool,
}

impl Filter {
    fn of(request: &Request) -> Result<Self, Refusal> {
        let mut parts = BTreeMap::new();
        for component in &request.components {
            let kind = kind(&component.entity_type)?;
            if parts.insert(kind, wanted(component)?).is_some() {
                return Err(invalid(format!("{kind} is there more than once in the filter")));
            }
        }
        if parts.len() > 1 && parts.contains_key(Entity::IP) {
            return Err(invalid("an ip has its quota alone; ask for it without user and client-id".to_owned()));
        }
        Ok(Self { parts, strict: request.strict })
    }

    fn matches(&self, entity: &Entity) -> bool {
        let parts = entity.parts();
        let is_there = |(kind, wanted): (&&str, &Wanted)| {
            let part = parts.iter().find(|(known, _)| known == kind);
            part.is_some_and(|(_, name)| match wanted {
                Wanted::Just(wanted) => wanted.as_deref() == *name,
                Wanted::Any => true,
            })
        };
        self.parts.iter().all(is_there) && (!self.strict || parts.len() == self.parts.len())
    }
}

fn kind(name: &str) -> Result<&'static str, Refusal> {
    let known = [Entity::USER, Entity::CLIENT, Entity::IP];
    let unknown = || (ErrorCode::UNSUPPORTED_VERSION, format!("entities of type {name} are not supported"));
    match name {
        "" => Err(invalid("a part of the filter has no entity type".to_owned())),
        name => known.into_iter().find(|known| *known == name).ok_or_else(unknown),
    }
}

fn wanted(component: &Component) -> Result<Wanted, Refusal> {
    match (component.match_type, &component.matched) {
        (EXACT, Some(name)) => Ok(Wanted::Just(Some(name.clone()))),
        (EXACT, None) => Err(invalid("a part that must be just one needs its name".to_owned())),
        (DEFAULT, None) => Ok(Wanted::Just(None)),
        (ANY, None) => Ok(Wanted::Any),
        (DEFAULT | ANY, Some(name)) => Err(invalid(format!("a part that may be no one name has the name {name}"))),
        (other, _) => Err(invalid(format!("there is no way of matching {other}"))),
    }
}

fn invalid(message: String) -> Refusal {
    (ErrorCode::INVALID_REQUEST, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(kind: &str, match_type: i8, matched: Option<&str>) -> Component {
        let (entity_type, matched) = (kind.to_owned(), matched.map(str::to_owned));
        Component { entity_type, match_type, matched, ..Default::default() }
    }

    fn filter(components: Vec<Component>, strict: bool) -> Result<Filter, ErrorCode> {
        Filter::of(&Request { components, strict, ..Default::default() }).map_err(|(code, _)| code)
    }

    fn matching(components: Vec<Component>, strict: bool) -> Vec<String> {
        let name = Some("ann");
        let entities = [
            Entity::of([("user", name)]),
            Entity::of([("user", None)]),
            Entity::of([("user", name), ("client-id", Some("app"))]),
            Entity::of([("client-id", Some("app"))]),
            Entity::of([("ip", None)]),
        ];
        let filter = filter(components, strict).unwrap();
        entities.map(Result::unwrap).iter().filter(|entity| filter.matches(entity)).map(ToString::to_string).collect()
    }

    #[test]
    fn entities_are_found_by_their_parts() {
        assert_eq!(matching(vec![], false).len(), 5);
        let ann = || component("user", EXACT, Some("ann"));
        assert_eq!(matching(vec![ann()], false), ["user ann", "user ann client-id app"]);
        assert_eq!(matching(vec![ann()], true), ["user ann"]);
        assert_eq!(matching(vec![component("user", DEFAULT, None)], false), ["user <default>"]);
        assert_eq!(matching(vec![component("user", ANY, None)], true), ["user ann", "user <default>"]);
        assert_eq!(matching(vec![ann(), component("client-id", ANY, None)], true), ["user ann client-id app"]);
        assert_eq!(matching(vec![component("ip", ANY, None)], false), ["ip <default>"]);
    }

    #[test]
    fn filters_that_mean_nothing_are_refused() {
        let invalid = Err(ErrorCode::INVALID_REQUEST);
        assert_eq!(filter(vec![component("", ANY, None)], false), invalid);
        assert_eq!(filter(vec![component("user", ANY, None), component("user", DEFAULT, None)], false), invalid);
        assert_eq!(filter(vec![component("user", ANY, None), component("ip", ANY, None)], false), invalid);
        assert_eq!(filter(vec![component("user", EXACT, None)], false), invalid);
        assert_eq!(filter(vec![component("user", DEFAULT, Some("ann"))], false), invalid);
        assert_eq!(filter(vec![component("user", 3, None)], false), invalid);
        assert_eq!(filter(vec![component("group", ANY, None)], false), Err(ErrorCode::UNSUPPORTED_VERSION));
    }
}
