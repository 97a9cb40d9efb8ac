//! Which ways topics go between clusters: a link must not close a ring.
//!
//! ```text
//!   A --orders--> B --orders--> C
//!   ^                           |      refused: each record would go round for ever, a copy of a copy every time
//!   '----------- orders --------'
//! ```
//!
//! Copies have the name of their source, so a ring can be seen by names. Every link writes its routes to both of its
//! clusters before it copies anything, each with the routes that lead to its source; then it looks at what others wrote
//! there. Of two links that close a ring at the same time at least one sees the other.

use model::TopicId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// How many legs upstream of its own a route tells of.
const UPSTREAM_MAX: usize = 256;

/// From one cluster to another, by their ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Leg {
    /// Where records come from.
    pub source: String,
    /// Where they go.
    pub target: String,
}

/// A topic that a link copies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The topic's name, in both.
    pub topic: String,
    /// From where to where.
    pub leg: Leg,
    /// The topic at the source: another one of the same name is none of this route's.
    pub source_topic: TopicId,
    /// The legs that lead to the source.
    pub upstream: BTreeSet<Leg>,
}

impl Route {
    /// Under which key it is written.
    pub fn key(&self) -> String {
        format!("{}>{}/{}", self.leg.source, self.leg.target, self.topic)
    }
}

/// A ring that would be closed: from the new link's target to its source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Ring {
    /// The topic.
    pub topic: String,
    /// The clusters on the way, from the target of the new link to its source.
    pub way: Vec<String>,
}

impl fmt::Display for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (topic, way) = (&self.topic, self.way.join(" to cluster "));
        write!(
            f,
            "topic {topic} is copied from cluster {way} already: copied back, each record would go round for ever"
        )
    }
}

/// A topic as the two clusters of a link know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// At the source.
    pub source: TopicId,
    /// At the target, where it may be missing yet.
    pub target: Option<TopicId>,
}

/// A new route for `topic` along `leg`, given all that is known of others.
///
/// # Errors
/// [`Ring`] when it would close one.
pub fn route(topic: &Topic, leg: Leg, known: &[Route]) -> Result<Route, Ring> {
    let counts = |route: &&Route| route.topic == topic.name && route.leg != leg && is_alive(route, topic, &leg);
    let legs = known.iter().filter(counts).flat_map(|route| route.upstream.iter().chain([&route.leg]));
    let legs: BTreeSet<&Leg> = legs.collect();
    if let Some(way) = way(&legs, &leg.target, &leg.source) {
        return Err(Ring { topic: topic.name.clone(), way });
    }
    let upstream = upstream(&legs, &leg.source);
    Ok(Route { topic: topic.name.clone(), leg, source_topic: topic.source, upstream })
}

/// Whether the topic a route begins with is still there, as far as it can be seen from the clusters of `leg`.
fn is_alive(route: &Route, topic: &Topic, leg: &Leg) -> bool {
    let begins_at = |cluster: &String| route.leg.source == *cluster;
    let is_gone = begins_at(&leg.source) && route.source_topic != topic.source
        || begins_at(&leg.target) && Some(route.source_topic) != topic.target;
    !is_gone
}

/// The shortest way between two clusters, both included.
fn way(legs: &BTreeSet<&Leg>, from: &str, to: &str) -> Option<Vec<String>> {
    let (mut ways, mut seen) = (vec![vec![from.to_owned()]], BTreeSet::from([from]));
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            let here = way.last()?;
            if here == to {
                return Some(way);
            }
            for leg in legs.iter().filter(|leg| leg.source == *here && seen.insert(&leg.target)) {
                longer.push([way.as_slice(), std::slice::from_ref(&leg.target)].concat());
            }
        }
        ways = longer;
    }
    None
}

/// The legs on any way to `target`, the nearest first to be told.
fn upstream(legs: &BTreeSet<&Leg>, target: &str) -> BTreeSet<Leg> {
    let (mut found, mut ends) = (BTreeSet::<Leg>::new(), vec![target.to_owned()]);
    while let Some(end) = ends.pop() {
        for leg in legs.iter().filter(|leg| leg.target == end) {
            if found.len() < UPSTREAM_MAX && found.insert((*leg).clone()) {
                ends.push(leg.source.clone());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn leg(source: &str, target: &str) -> Leg {
        Leg { source: source.into(), target: target.into() }
    }

    fn id(number: u128) -> TopicId {
        TopicId(Uuid::from_u128(number))
    }

    fn added(known: &mut Vec<Route>, source: &str, target: &str) -> Result<(), Ring> {
        // A link sees what others wrote to its own two clusters.
        let is_seen = |route: &&Route| {
            [&route.leg.source, &route.leg.target].iter().any(|at| [source, target].contains(&at.as_str()))
        };
        let seen: Vec<_> = known.iter().filter(is_seen).cloned().collect();
        known.push(route(&topic(1, Some(1)), leg(source, target), &seen)?);
        Ok(())
    }

    fn topic(source: u128, target: Option<u128>) -> Topic {
        Topic { name: "orders".into(), source: id(source), target: target.map(id) }
    }

    #[test]
    fn there_and_back_is_refused_by_the_names_of_both() {
        let mut known = Vec::new();
        added(&mut known, "A", "B").unwrap();
        let told = added(&mut known, "B", "A").unwrap_err();
        assert_eq!(told.way, ["A", "B"]);
        assert!(told.to_string().contains("orders is copied from cluster A to cluster B already"), "{told}");
        added(&mut known, "A", "B").unwrap();
        added(&mut known, "A", "C").unwrap();
        let another = Topic { name: "payments".into(), ..topic(1, Some(1)) };
        assert!(route(&another, leg("B", "A"), &known).is_ok());
    }

    #[test]
    fn a_topic_that_was_made_again_is_another_one() {
        let there = [route(&topic(1, None), leg("A", "B"), &[]).unwrap()];
        assert!(route(&topic(2, Some(1)), leg("B", "A"), &there).is_err());
        assert!(route(&topic(2, Some(3)), leg("B", "A"), &there).is_ok(), "made again where the route begins");
        assert!(route(&topic(2, None), leg("B", "A"), &there).is_ok(), "gone there");
        assert_eq!(route(&topic(1, None), leg("B", "C"), &there).unwrap().upstream.len(), 1);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let route = route(&topic(1, None), leg("A", "B"), &[]).unwrap();
        assert_eq!(route.key(), "A>B/orders");
        let text = serde_json::to_string(&route).unwrap();
        assert_eq!(serde_json::from_str::<Route>(&text).unwrap(), route);
    }

    proptest! {
        #[test]
        fn a_ring_of_any_size_is_never_closed_when_links_follow_the_flow(size in 2usize..9, first in 0usize..9) {
            let name = |at: usize| format!("c{}", at % size);
            let mut known = Vec::new();
            for at in 0..size - 1 {
                added(&mut known, &name(first + at), &name(first + at + 1)).unwrap();
            }
            prop_assert!(added(&mut known, &name(first + size - 1), &name(first)).is_err());
        }

        #[test]
        fn a_ring_of_three_is_never_closed_in_whatever_order(order in Just(vec![0usize, 1, 2]).prop_shuffle()) {
            let mut known = Vec::new();
            let names = ["A", "B", "C"];
            let refused = order.iter().filter(|at| added(&mut known, names[**at], names[(**at + 1) % 3]).is_err());
            prop_assert_eq!(refused.count(), 1);
        }
    }
}
