//! DescribeConfigs: every setting of a topic, a consumer group or this broker, with who said so.

mod broker;

use super::{Call, Started, admin, cluster, configure};
use crate::Broker;
use broker_core::config::{self, Key, Kind};
use bytes::Bytes;
use wire::ErrorCode;
use wire::api::describe_configs::{
    BROKER, ConfigResponse, Request, Resource, ResourceResponse, Response, Synonym, TOPIC,
};
use wire::api::list_config_resources::GROUP;

/// Why nothing is described.
type Refusal = (ErrorCode, String);

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let wanted = Wanted { synonyms: request.include_synonyms, documentation: request.include_documentation };
    let results = request.resources.into_iter().map(|resource| describe(broker, resource, wanted)).collect();
    Ok(call.reply(&Response { results, ..Default::default() }))
}

/// What to say of every setting besides its value.
#[derive(Clone, Copy)]
struct Wanted {
    synonyms: bool,
    documentation: bool,
}

fn describe(broker: &Broker, resource: Resource, wanted: Wanted) -> ResourceResponse {
    let Resource { resource_type, resource_name, configuration_keys, .. } = resource;
    let found = match resource_type {
        TOPIC => of_topic(broker, &resource_name),
        BROKER => broker::settings(broker, &resource_name),
        GROUP => of_group(broker, &resource_name),
        other => Err((ErrorCode::INVALID_REQUEST, format!("there are no settings of resource type {other}"))),
    };
    let response = ResourceResponse { resource_type, resource_name, ..Default::default() };
    match found {
        Ok(settings) => {
            let keys = configuration_keys.filter(|keys| !keys.is_empty());
            let is_asked = |setting: &Setting| keys.as_ref().is_none_or(|keys| keys.contains(&setting.name));
            let asked = settings.into_iter().filter(is_asked);
            ResourceResponse { configs: asked.map(|setting| setting.response(wanted)).collect(), ..response }
        }
        Err((error_code, message)) => ResourceResponse { error_code, error_message: Some(message), ..response },
    }
}

/// One setting as it holds.
struct Setting {
    name: String,
    value: String,
    source: i8,
    /// What holds where nobody says anything.
    default: Option<String>,
    kind: i8,
    documentation: &'static str,
    read_only: bool,
}

fn of_topic(broker: &Broker, name: &str) -> Result<Vec<Setting>, Refusal> {
    let image = broker.image();
    let unknown = || (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("there is no topic {name}"));
    let topic = cluster::topic_named(&image, name).ok_or_else(unknown)?;
    let setting = |known: admin::Effective<'_>| Setting {
        name: known.key.name.to_owned(),
        value: known.value.to_owned(),
        source: known.source,
        default: Some(known.key.default.to_owned()),
        kind: kind(known.key),
        documentation: known.key.documentation,
        read_only: topic.group.is_none(),
    };
    Ok(admin::entries(broker, &topic.config).map(setting).collect())
}

/// Every setting of a consumer group, which need not be there yet.
fn of_group(broker: &Broker, name: &str) -> Result<Vec<Setting>, Refusal> {
    let (image, settings) = (broker.image(), broker.group_settings());
    let group = configure::group(&image, name)?;
    let own = image.group_entries().get(&group);
    let setting = |key: &'static Key| {
        let default = config::group_default(key, &settings);
        let said = own.and_then(|own| own.get(key.name)).cloned();
        Setting {
            name: key.name.to_owned(),
            source: if said.is_some() { admin::FROM_GROUP } else { admin::FROM_DEFAULT },
            value: said.unwrap_or_else(|| default.clone()),
            default: Some(default),
            kind: kind(key),
            documentation: key.documentation,
            read_only: false,
        }
    };
    Ok(config::GROUP_KEYS.iter().map(setting).collect())
}

/// Kafka's number of a type: boolean, string, int, long, double or list.
fn kind(key: &Key) -> i8 {
    match key.kind {
        Kind::Bool | Kind::Choice(["false"]) => 1,
        Kind::Choice(_) => 2,
        Kind::Int { .. } => 3,
        Kind::Long { .. } => 5,
        Kind::Ratio => 6,
        Kind::List(_) => 7,
    }
}

impl Setting {
    fn response(self, wanted: Wanted) -> ConfigResponse {
        ConfigResponse {
            synonyms: if wanted.synonyms { self.synonyms() } else { Vec::new() },
            documentation: wanted.documentation.then(|| self.documentation.to_owned()),
            name: self.name,
            value: Some(self.value),
            read_only: self.read_only,
            config_source: self.source,
            config_type: self.kind,
            ..Default::default()
        }
    }

    /// Who says something about it, the one that counts first.
    fn synonyms(&self) -> Vec<Synonym> {
        let synonym = |value: &str, source| Synonym {
            name: self.name.clone(),
            value: Some(value.to_owned()),
            source,
            ..Default::default()
        };
        let fallback = self.default.as_deref().filter(|_| self.source != admin::FROM_DEFAULT);
        [synonym(&self.value, self.source)]
            .into_iter()
            .chain(fallback.map(|value| synonym(value, admin::FROM_DEFAULT)))
            .collect()
    }
}
