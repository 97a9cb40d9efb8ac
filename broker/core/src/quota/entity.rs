use model::limits::QUOTA_NAME_BYTES_MAX;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// One part of an entity: a name, or whoever has no quota of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Everybody who is not named elsewhere, each for itself.
    Default,
    /// Just this one.
    Named(String),
}

/// Whom a quota limits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entity {
    /// All clients of a user together.
    User(Part),
    /// All connections with a client id together.
    Client(Part),
    /// A client id of a user.
    UserClient(Part, Part),
    /// An address that connects.
    Ip(Part),
}

/// Why there can be no such entity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEntity {
    /// It has no part.
    #[error("an entity needs a user, a client-id or an ip")]
    Empty,
    /// A part of an unknown type.
    #[error("there are no entities of type {0}; user, client-id and ip are known")]
    Type(String),
    /// A part is there twice.
    #[error("{0} is there more than once in the entity")]
    Twice(&'static str),
    /// A name without a letter.
    #[error("the name of {0} is empty; leave the name out for the default")]
    NoName(&'static str),
    /// A name nobody needs.
    #[error("the name of {kind} has {bytes} bytes; at most {QUOTA_NAME_BYTES_MAX} are told apart")]
    NameTooLong {
        /// The type of the part.
        kind: &'static str,
        /// How long it is.
        bytes: usize,
    },
    /// An address with something else.
    #[error("an ip has its quota alone, without user or client-id")]
    Mixed,
    /// It is no address.
    #[error("{0} is no IP address")]
    Address(String),
}

impl Entity {
    /// Kafka's type of users.
    pub const USER: &'static str = "user";
    /// Kafka's type of client ids.
    pub const CLIENT: &'static str = "client-id";
    /// Kafka's type of addresses.
    pub const IP: &'static str = "ip";

    /// The entity of these parts, each a type and a name; `None` is the default.
    ///
    /// # Errors
    /// [`BadEntity`] says what is wrong with it.
    pub fn of<'a>(parts: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Result<Self, BadEntity> {
        let (mut user, mut client, mut ip) = (None, None, None);
        for (kind, name) in parts {
            let (kind, place) = match kind {
                Self::USER => (Self::USER, &mut user),
                Self::CLIENT => (Self::CLIENT, &mut client),
                Self::IP => (Self::IP, &mut ip),
                other => return Err(BadEntity::Type(other.to_owned())),
            };
            if place.replace(Part::of(kind, name)?).is_some() {
                return Err(BadEntity::Twice(kind));
            }
        }
        match (user, client, ip) {
            (Some(user), None, None) => Ok(Self::User(user)),
            (None, Some(client), None) => Ok(Self::Client(client)),
            (Some(user), Some(client), None) => Ok(Self::UserClient(user, client)),
            (None, None, Some(ip)) => ip.address().map(Self::Ip),
            (None, None, None) => Err(BadEntity::Empty),
            (_, _, Some(_)) => Err(BadEntity::Mixed),
        }
    }

    /// Its parts as Kafka names them: type and name, without a name for the default.
    pub fn parts(&self) -> Vec<(&'static str, Option<&str>)> {
        match self {
            Self::User(user) => vec![(Self::USER, user.name())],
            Self::Client(client) => vec![(Self::CLIENT, client.name())],
            Self::UserClient(user, client) => vec![(Self::USER, user.name()), (Self::CLIENT, client.name())],
            Self::Ip(ip) => vec![(Self::IP, ip.name())],
        }
    }
}

impl Part {
    /// The one called `name`.
    pub fn named(name: &str) -> Self {
        Self::Named(name.to_owned())
    }

    /// Its name; the default has none.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Default => None,
            Self::Named(name) => Some(name),
        }
    }

    fn of(kind: &'static str, name: Option<&str>) -> Result<Self, BadEntity> {
        match name {
            None => Ok(Self::Default),
            Some("") => Err(BadEntity::NoName(kind)),
            Some(name) if name.len() > QUOTA_NAME_BYTES_MAX => Err(BadEntity::NameTooLong { kind, bytes: name.len() }),
            Some(name) => Ok(Self::named(name)),
        }
    }

    /// An address in its one spelling.
    fn address(self) -> Result<Self, BadEntity> {
        match self {
            Self::Default => Ok(Self::Default),
            Self::Named(text) => match text.parse::<IpAddr>() {
                Ok(address) => Ok(Self::Named(address.to_canonical().to_string())),
                Err(_) => Err(BadEntity::Address(text)),
            },
        }
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (kind, name)) in self.parts().into_iter().enumerate() {
            let space = if at > 0 { " " } else { "" };
            write!(f, "{space}{kind} {}", name.unwrap_or("<default>"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_is_its_parts_in_any_order() {
        let both = Entity::of([("client-id", Some("app")), ("user", None)]).unwrap();
        assert_eq!(both, Entity::UserClient(Part::Default, Part::named("app")));
        assert_eq!(both.to_string(), "user <default> client-id app");
        assert_eq!(Entity::of(both.parts()), Ok(both));
        assert_eq!(Entity::of([("ip", Some("::ffff:10.0.0.1"))]), Ok(Entity::Ip(Part::named("10.0.0.1"))));
    }

    #[test]
    fn what_is_no_entity_is_refused() {
        assert_eq!(Entity::of([]), Err(BadEntity::Empty));
        assert_eq!(Entity::of([("group", None)]), Err(BadEntity::Type("group".into())));
        assert_eq!(Entity::of([("user", None), ("user", Some("a"))]), Err(BadEntity::Twice("user")));
        assert_eq!(Entity::of([("user", Some(""))]), Err(BadEntity::NoName("user")));
        assert_eq!(Entity::of([("ip", None), ("user", None)]), Err(BadEntity::Mixed));
        assert_eq!(Entity::of([("ip", Some("host"))]), Err(BadEntity::Address("host".into())));
    }
}
