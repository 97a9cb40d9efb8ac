use super::Vector;
use model::Incarnation;
use std::collections::BTreeMap;

/// A link into this region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The region at its other end.
    pub source: Incarnation,
    /// Whether it can be asked.
    pub up: bool,
    /// What it had received when it was last heard of.
    pub holds: Vector,
}

/// Over which link, by its source, each origin's records come.
pub type Routes = BTreeMap<Incarnation, Incarnation>;

/// Chooses one link for each of `origins`, so that nothing is sent twice: the one from the origin itself while it is
/// up; else the one that was chosen before, unless that has nothing more and another has; else the one that has most.
pub fn assign(own: Incarnation, origins: &[Incarnation], paths: &[Path], received: &Vector, before: &Routes) -> Routes {
    let others = origins.iter().copied().filter(|origin| *origin != own);
    others.filter_map(|origin| Some((origin, choose(origin, paths, received, before)?))).collect()
}

fn choose(origin: Incarnation, paths: &[Path], received: &Vector, before: &Routes) -> Option<Incarnation> {
    let up = || paths.iter().filter(|path| path.up);
    if up().any(|path| path.source == origin) {
        return Some(origin);
    }
    let best = up().max_by_key(|path| (path.holds.tail(origin), std::cmp::Reverse(path.source)))?;
    let kept = up().find(|path| before.get(&origin) == Some(&path.source));
    let tail = received.tail(origin);
    let keep = kept.filter(|path| path.holds.tail(origin) > tail || best.holds.tail(origin) <= tail);
    Some(keep.unwrap_or(best).source)
}

/// Whose records are asked for over which link, until the answer is there. What may be on its way over one link is not
/// asked for over another: it would come twice, and behind a cut that is everything there is.
#[derive(Clone, Debug, Default)]
pub struct Asking(BTreeMap<Incarnation, Vec<Incarnation>>);

impl Asking {
    /// What of `wanted` is asked for at `source` now. Whatever was asked for there before is here, or never comes.
    pub fn begin(&mut self, source: Incarnation, wanted: impl IntoIterator<Item = Incarnation>) -> Vec<Incarnation> {
        self.end(source);
        let is_free = |origin: &Incarnation| !self.0.values().any(|asked| asked.contains(origin));
        let asked: Vec<_> = wanted.into_iter().filter(is_free).collect();
        self.0.insert(source, asked.clone());
        asked
    }

    /// Nothing more comes from `source` of what it was asked for.
    pub fn end(&mut self, source: Incarnation) {
        self.0.remove(&source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Offset;

    fn path(source: u16, up: bool, holds_of_3: i64) -> Path {
        let holds = [(Incarnation(3), Offset(holds_of_3))].into_iter().collect();
        Path { source: Incarnation(source), up, holds }
    }

    /// Over which link the records of region 3 come to region 1.
    fn route(paths: &[Path], received: i64, before: Option<u16>) -> Option<u16> {
        let received = [(Incarnation(3), Offset(received))].into_iter().collect();
        let before = before.map(|source| (Incarnation(3), Incarnation(source))).into_iter().collect();
        let routes = assign(Incarnation(1), &[1, 2, 3, 4].map(Incarnation), paths, &received, &before);
        assert!(!routes.contains_key(&Incarnation(1)));
        routes.get(&Incarnation(3)).map(|source| source.0)
    }

    #[test]
    fn an_origin_is_asked_itself_while_it_can_be() {
        assert_eq!(route(&[path(2, true, 9), path(3, true, 5)], 0, Some(2)), Some(3));
        assert_eq!(route(&[path(2, true, 9), path(3, false, 9)], 0, Some(3)), Some(2));
        assert_eq!(route(&[path(2, false, 9), path(3, false, 9)], 0, Some(3)), None);
    }

    #[test]
    fn a_detour_is_kept_while_it_brings_something() {
        assert_eq!(route(&[path(2, true, 5), path(4, true, 9)], 3, Some(2)), Some(2));
        assert_eq!(route(&[path(2, true, 5), path(4, true, 9)], 5, Some(2)), Some(4));
        assert_eq!(route(&[path(2, true, 5), path(4, true, 5)], 5, Some(4)), Some(4));
        assert_eq!(route(&[path(2, true, 5), path(4, true, 5)], 5, None), Some(2));
    }

    #[test]
    fn what_is_asked_for_over_one_link_is_not_asked_for_over_another() {
        let [one, two, three] = [1, 2, 3].map(Incarnation);
        let mut asking = Asking::default();
        assert_eq!(asking.begin(one, [one, three]), [one, three]);
        assert_eq!(asking.begin(two, [two, three]), [two]);
        assert_eq!(asking.begin(one, [one]), [one], "the answer has come");
        assert_eq!(asking.begin(two, [two, three]), [two, three]);
        asking.end(two);
        assert_eq!(asking.begin(one, [one, three]), [one, three]);
    }
}
