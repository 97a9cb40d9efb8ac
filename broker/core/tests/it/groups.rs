use crate::lone_shell::{Shell, group, protocol, seconds};
use broker_core::group::offsets::{Offsets, Place};
use broker_core::group::{
    Commit, Coordinator, GroupError, InstanceId, Joined, MemberId, Phase, Request, Settings, Sync, replay,
};
use std::time::Duration;

fn committing(joined: Option<&Joined>) -> Commit {
    let (member, generation) =
        joined.map_or((MemberId::new(""), -1), |joined| (joined.member.clone(), joined.generation));
    Commit { group: group(), member, instance: None, generation, knows_epochs: true }
}

#[test]
fn one_of_two_members_leads_and_assigns() {
    let mut shell = Shell::prompt();
    let (leader, other) = shell.pair();
    assert_eq!(leader.generation, other.generation);
    assert_eq!((&leader.leader, &other.leader), (&leader.member, &leader.member));
    assert_eq!((leader.members.len(), other.members.len()), (2, 0));
    assert_eq!(shell.heartbeat(&leader), Ok(()));
    assert_eq!(shell.coordinator.describe(&group()).unwrap().phase, Phase::Stable);
}

#[test]
fn the_first_members_wait_a_while_for_more() {
    let mut shell = Shell::new(Settings { initial_rebalance_delay: seconds(3), ..Settings::default() });
    let first = shell.join("");
    shell.pass(seconds(2));
    let second = shell.join("");
    shell.pass(seconds(2));
    assert!(shell.waits(first), "a second member came, so one more delay is waited out");
    shell.pass(seconds(2));
    let (first, second) = (shell.join_result(first).unwrap(), shell.join_result(second).unwrap());
    assert_eq!((first.generation, second.generation), (1, 1));
}

#[test]
fn a_member_without_a_name_gets_one_and_joins_with_it() {
    let mut shell = Shell::prompt();
    let mut join = shell.joining("");
    join.names_first = true;
    let token = shell.send(Request::Join(join));
    let Err(GroupError::MemberIdRequired(name)) = shell.join_result(token) else { panic!() };
    let token = shell.join(name.as_str());
    assert_eq!(shell.join_result(token).unwrap().member, name);
}

#[test]
fn a_name_that_is_never_used_does_not_hold_up_the_group() {
    let mut shell = Shell::prompt();
    let (leader, other) = shell.pair();
    let mut join = shell.joining("");
    join.names_first = true;
    shell.send(Request::Join(join));
    let rejoined = [shell.join(leader.member.as_str()), shell.join(other.member.as_str())];
    shell.pass(seconds(9));
    assert!(rejoined.iter().all(|token| shell.waits(*token)));
    shell.pass(seconds(2));
    assert!(rejoined.iter().all(|token| !shell.waits(*token)), "the name has expired");
}

#[test]
fn a_group_that_rebalances_says_so_to_the_heartbeat_and_drops_who_does_not_return() {
    let mut shell = Shell::prompt();
    let (leader, other) = shell.pair();
    let third = shell.join("");
    assert_eq!(shell.heartbeat(&leader), Err(GroupError::RebalanceInProgress));
    let rejoined = shell.join(leader.member.as_str());
    for _ in 0..10 {
        shell.pass(seconds(6));
        let _ = shell.heartbeat(&other);
    }
    assert!(!shell.waits(third), "the rebalance timeout is over");
    assert_eq!(shell.join_result(rejoined).unwrap().members.len(), 2);
    assert_eq!(shell.heartbeat(&other), Err(GroupError::UnknownMember(other.member.clone())));
}

#[test]
fn a_silent_member_is_out_and_the_rest_rebalances() {
    let mut shell = Shell::prompt();
    let (leader, other) = shell.pair();
    shell.pass(seconds(9));
    assert_eq!(shell.heartbeat(&leader), Ok(()));
    shell.pass(seconds(2));
    assert_eq!(shell.heartbeat(&leader), Err(GroupError::RebalanceInProgress));
    let token = shell.join(leader.member.as_str());
    let rejoined = shell.join_result(token).unwrap();
    assert_eq!((rejoined.generation, rejoined.members.len()), (other.generation + 1, 1));
}

#[test]
fn a_leader_that_never_assigns_is_out() {
    let mut shell = Shell::prompt();
    let (leader, other) = shell.pair();
    let (first, second) = (shell.join(leader.member.as_str()), shell.join(other.member.as_str()));
    let (leader, other) = (shell.join_result(first).unwrap(), shell.join_result(second).unwrap());
    let waiting = shell.sync(&other, &[]);
    for _ in 0..11 {
        shell.pass(seconds(6));
        let _ = shell.heartbeat(&leader);
    }
    assert_eq!(shell.sync_result(waiting), Err(GroupError::RebalanceInProgress));
    let token = shell.join(other.member.as_str());
    assert_eq!(shell.join_result(token).unwrap().leader, other.member);
}

#[test]
fn waiting_for_the_assignment_is_not_silence() {
    let mut shell = Shell::prompt();
    let (leader, other) = shell.pair();
    let (first, second) = (shell.join(leader.member.as_str()), shell.join(other.member.as_str()));
    let (leader, other) = (shell.join_result(first).unwrap(), shell.join_result(second).unwrap());
    let waiting = shell.sync(&other, &[]);
    for _ in 0..5 {
        shell.pass(seconds(6));
        assert_eq!(shell.heartbeat(&leader), Ok(()));
    }
    shell.sync(&leader, &[(&other.member, "b")]);
    assert_eq!(shell.sync_result(waiting).unwrap().assignment, "b");
    shell.pass(seconds(9));
    assert_eq!(shell.heartbeat(&other), Ok(()));
}

#[test]
fn a_leader_that_joins_again_begins_a_rebalance_and_a_follower_does_not() {
    let mut shell = Shell::prompt();
    let (leader, other) = shell.pair();
    let token = shell.join(other.member.as_str());
    assert_eq!(shell.join_result(token).unwrap().generation, leader.generation);
    let token = shell.join(leader.member.as_str());
    assert!(shell.waits(token));
    assert_eq!(shell.heartbeat(&other), Err(GroupError::RebalanceInProgress));
}

#[test]
fn a_follower_whose_subscription_changed_begins_a_rebalance() {
    let mut shell = Shell::prompt();
    let (_, other) = shell.pair();
    let mut join = shell.joining(other.member.as_str());
    join.protocols = vec![protocol("range", "another subscription")];
    let token = shell.send(Request::Join(join));
    assert!(shell.waits(token));
}

#[test]
fn the_protocol_most_members_prefer_is_chosen() {
    let mut shell = Shell::new(Settings { initial_rebalance_delay: seconds(3), ..Settings::default() });
    let mut tokens = vec![];
    for preferred in ["sticky", "range", "range"] {
        let mut join = shell.joining("");
        let other = if preferred == "range" { "sticky" } else { "range" };
        join.protocols = vec![protocol(preferred, "1"), protocol(other, "2"), protocol("only-me", "3")];
        tokens.push(shell.send(Request::Join(join)));
    }
    shell.pass(seconds(10));
    assert!(tokens.iter().all(|token| shell.join_result(*token).unwrap().protocol == "range"));
}

#[test]
fn who_shares_no_protocol_with_the_group_is_refused() {
    let mut shell = Shell::prompt();
    shell.pair();
    for (protocol_type, name) in [("consumer", "unheard-of"), ("connect", "range"), ("", "range")] {
        let mut join = shell.joining("");
        join.protocol_type = protocol_type.into();
        join.protocols = vec![protocol(name, "x")];
        let token = shell.send(Request::Join(join));
        assert_eq!(shell.join_result(token), Err(GroupError::InconsistentProtocol));
    }
}

#[test]
fn a_sync_that_names_another_protocol_is_refused() {
    let mut shell = Shell::prompt();
    let (leader, _) = shell.pair();
    let mut wrong = leader.clone();
    wrong.protocol = "sticky".into();
    let token = shell.sync(&wrong, &[]);
    assert_eq!(shell.sync_result(token), Err(GroupError::InconsistentProtocol));
    let mut late = leader.clone();
    late.generation -= 1;
    let token = shell.sync(&late, &[]);
    assert!(matches!(shell.sync_result(token), Err(GroupError::IllegalGeneration { .. })));
}

#[test]
fn a_static_member_that_returns_keeps_its_assignment_without_a_rebalance() {
    let mut shell = Shell::prompt();
    let token = shell.join_static("", "i");
    let first = shell.join_result(token).unwrap();
    let token = shell.sync(&first, &[(&first.member, "all")]);
    assert_eq!(shell.sync_result(token).unwrap().assignment, "all");
    let token = shell.join_static("", "i");
    let second = shell.join_result(token).unwrap();
    assert_eq!((second.generation, second.skip_assignment), (first.generation, true));
    assert_ne!(second.member, first.member);
    assert_eq!(second.leader, second.member);
    let token = shell.sync(&second, &[]);
    assert_eq!(shell.sync_result(token).unwrap().assignment, "all");
    let old = Sync {
        group: group(),
        member: first.member.clone(),
        instance: Some(InstanceId::new("i")),
        generation: first.generation,
        protocol_type: None,
        protocol: None,
        assignments: vec![],
    };
    let token = shell.send(Request::Sync(old));
    assert_eq!(shell.sync_result(token), Err(GroupError::FencedInstance(InstanceId::new("i"))));
}

#[test]
fn an_old_client_that_returns_as_static_leader_is_not_told_to_lead() {
    let mut shell = Shell::prompt();
    let token = shell.join_static("", "i");
    let first = shell.join_result(token).unwrap();
    shell.sync(&first, &[]);
    let mut join = shell.joining("");
    (join.instance, join.may_skip_assignment) = (Some(InstanceId::new("i")), false);
    let token = shell.send(Request::Join(join));
    let second = shell.join_result(token).unwrap();
    assert_eq!((&second.leader, second.members.len()), (&first.member, 0));
}

#[test]
fn a_static_member_away_keeps_its_place_until_its_session_ends() {
    let mut shell = Shell::prompt();
    let token = shell.join_static("", "i");
    let absent = shell.join_result(token).unwrap();
    shell.sync(&absent, &[]);
    let joining = shell.join("");
    assert!(shell.waits(joining));
    shell.pass(seconds(11));
    assert_eq!(shell.join_result(joining).unwrap().members.len(), 1, "its session ended");
}

#[test]
fn members_leave_by_name_or_static_name() {
    let mut shell = Shell::prompt();
    let (leader, other) = shell.pair();
    assert_eq!(shell.leave(other.member.as_str(), None), Ok(()));
    assert_eq!(shell.leave(other.member.as_str(), None), Err(GroupError::UnknownMember(other.member.clone())));
    assert_eq!(shell.heartbeat(&leader), Err(GroupError::RebalanceInProgress));
    assert_eq!(shell.leave(leader.member.as_str(), None), Ok(()));
    assert_eq!(shell.coordinator.describe(&group()).unwrap().phase, Phase::Empty);
    let token = shell.join_static("", "i");
    assert!(shell.join_result(token).is_ok());
    assert!(matches!(shell.leave("", Some("nobody")), Err(GroupError::UnknownMember(_))));
    assert!(matches!(shell.leave("impostor", Some("i")), Err(GroupError::FencedInstance(_))));
    assert_eq!(shell.leave("", Some("i")), Ok(()));
}

#[test]
fn an_assignment_that_cannot_be_written_sends_the_members_back_to_join() {
    let mut shell = Shell::prompt();
    shell.writes = Some(vec![]);
    let token = shell.join("");
    let joined = shell.join_result(token).unwrap();
    let token = shell.sync(&joined, &[(&joined.member, "all")]);
    assert!(shell.waits(token), "an assignment counts once it is on disk");
    shell.persisted(&group(), joined.generation, Err(GroupError::CoordinatorNotAvailable));
    assert_eq!(shell.sync_result(token), Err(GroupError::CoordinatorNotAvailable));
    let token = shell.join(joined.member.as_str());
    let again = shell.join_result(token).unwrap();
    let token = shell.sync(&again, &[(&again.member, "all")]);
    shell.persisted(&group(), joined.generation, Ok(()));
    assert!(shell.waits(token), "that was an earlier generation");
    shell.persisted(&group(), again.generation, Ok(()));
    assert_eq!(shell.sync_result(token).unwrap().assignment, "all");
}

#[test]
fn a_group_that_moves_away_answers_everyone_and_forgets_them() {
    let mut shell = Shell::prompt();
    let (leader, other) = shell.pair();
    let waiting = shell.join(leader.member.as_str());
    shell.lose();
    assert_eq!(shell.join_result(waiting), Err(GroupError::NotCoordinator));
    assert_eq!(shell.heartbeat(&other), Err(GroupError::UnknownMember(other.member.clone())));
    assert!(shell.records.last().unwrap().1.is_none(), "its record is taken back");
    assert_eq!(shell.coordinator.next_deadline(), None);
}

#[test]
fn commits_are_taken_from_members_of_the_generation_and_from_nobodys_groups() {
    let mut shell = Shell::prompt();
    let now = shell.moment();
    assert_eq!(shell.coordinator.admit_commit(now, &committing(None)), Ok(()));
    let (leader, other) = shell.pair();
    assert_eq!(shell.coordinator.admit_commit(now, &committing(Some(&leader))), Ok(()));
    assert!(matches!(shell.coordinator.admit_commit(now, &committing(None)), Err(GroupError::UnknownMember(_))));
    let mut late = committing(Some(&leader));
    late.generation -= 1;
    assert!(matches!(shell.coordinator.admit_commit(now, &late), Err(GroupError::IllegalGeneration { .. })));
    let (first, second) = (shell.join(leader.member.as_str()), shell.join(other.member.as_str()));
    let (leader, _) = (shell.join_result(first).unwrap(), shell.join_result(second).unwrap());
    let completing = shell.coordinator.admit_commit(now, &committing(Some(&leader)));
    assert_eq!(completing, Err(GroupError::RebalanceInProgress));
}

#[test]
fn a_commit_with_a_generation_needs_a_group() {
    let mut shell = Shell::prompt();
    let mut commit = committing(None);
    commit.generation = 3;
    let now = shell.moment();
    assert!(matches!(shell.coordinator.admit_commit(now, &commit), Err(GroupError::IllegalGeneration { .. })));
    commit.generation = -1;
    commit.member = MemberId::new("ghost");
    assert!(matches!(shell.coordinator.admit_commit(now, &commit), Err(GroupError::UnknownMember(_))));
}

#[test]
fn a_member_goes_on_after_its_coordinator_started_again() {
    let mut shell = Shell::prompt();
    let (leader, other) = shell.pair();
    let mut restarted = Shell::prompt();
    restarted.now = seconds(3);
    let (now, mut offsets) = (restarted.moment(), Offsets::default());
    for (key, value) in &shell.records {
        replay(&mut restarted.coordinator, &mut offsets, now, Place::default(), key, value.as_ref()).unwrap();
    }
    assert_eq!(restarted.heartbeat(&leader), Ok(()));
    let token = restarted.sync(&other, &[]);
    assert_eq!(restarted.sync_result(token).unwrap().assignment, "b");
    let token = restarted.join(other.member.as_str());
    assert_eq!(restarted.join_result(token).unwrap().generation, other.generation);
    restarted.pass(seconds(11));
    assert!(restarted.coordinator.describe(&group()).unwrap().members.is_empty());
}

#[test]
fn a_full_group_takes_no_more_but_lets_a_static_member_return() {
    let settings = Settings { members_max: 1, initial_rebalance_delay: Duration::ZERO, ..Settings::default() };
    let mut shell = Shell::new(settings);
    let token = shell.join_static("", "i");
    let joined = shell.join_result(token).unwrap();
    shell.sync(&joined, &[]);
    let token = shell.join("");
    assert_eq!(shell.join_result(token), Err(GroupError::GroupFull(1)));
    let token = shell.join_static("", "i");
    assert!(shell.join_result(token).is_ok());
}

#[test]
fn sessions_out_of_bounds_and_too_much_metadata_are_refused() {
    let mut shell = Shell::prompt();
    let mut join = shell.joining("");
    join.session_timeout = seconds(1);
    let token = shell.send(Request::Join(join));
    assert!(matches!(shell.join_result(token), Err(GroupError::InvalidSessionTimeout { .. })));
    let mut join = shell.joining("");
    join.protocols = vec![protocol("range", &"x".repeat(2 << 20))];
    let token = shell.send(Request::Join(join));
    assert!(matches!(shell.join_result(token), Err(GroupError::TooMuchMetadata { .. })));
    assert!(!shell.coordinator.contains(&group()), "a refused member makes no group");
}

#[test]
fn only_a_group_without_members_is_deleted() {
    let mut shell = Shell::prompt();
    let (leader, other) = shell.pair();
    assert_eq!(shell.coordinator.delete(&group(), true), Err(GroupError::NonEmptyGroup));
    shell.leave(leader.member.as_str(), None).unwrap();
    shell.leave(other.member.as_str(), None).unwrap();
    assert!(shell.coordinator.delete(&group(), true).unwrap().len() == 1);
    assert_eq!(shell.coordinator.delete(&group(), true), Ok(vec![]));
    assert_eq!(shell.coordinator.delete(&group(), false), Err(GroupError::GroupNotFound));
}

#[test]
fn what_nobody_uses_is_swept() {
    let mut shell = Shell::prompt();
    let (leader, other) = shell.pair();
    shell.leave(leader.member.as_str(), None).unwrap();
    shell.leave(other.member.as_str(), None).unwrap();
    assert!(shell.coordinator.sweep(|_| true).is_empty());
    assert_eq!(shell.coordinator.sweep(|_| false).len(), 1);
    assert!(!shell.coordinator.contains(&group()));
}

#[test]
fn a_restored_coordinator_reads_its_own_empty_groups() {
    let mut shell = Shell::prompt();
    let (leader, other) = shell.pair();
    shell.leave(leader.member.as_str(), None).unwrap();
    shell.leave(other.member.as_str(), None).unwrap();
    let mut restarted = Coordinator::new(Settings::default());
    for (key, value) in &shell.records {
        replay(&mut restarted, &mut Offsets::default(), shell.moment(), Place::default(), key, value.as_ref()).unwrap();
    }
    assert_eq!(restarted.describe(&group()).unwrap().phase, Phase::Empty);
    assert!(restarted.empty_since(&group()).is_some());
}
