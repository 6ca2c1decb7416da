//! What holds of any sequence of governance: each as a function named by its sentence.
//!
//! A story is drawn at random: blocks in which provinces propose, approve and reject what changes
//! the validator set and what does not. Most words are about the newest proposals, so that many of
//! them are decided. Of a failure, proptest prints the shortest story that fails.

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*, test_runner::Config};
use symbolon_contracts::{RejectionCode, action::FEWEST_VALIDATORS};
use symbolon_ledger::{
    governance::{Action, GovernanceRecord, ProposalRecord, ProposalStatus},
    operation::Operation,
    state::StateKey,
    transaction::Verified,
};

use crate::{governance::*, world::*};

/// Stories a property is tried on.
const STORIES: u32 = 48;
/// Provinces of a story; the first five have a validator at its beginning.
const PROVINCES: [&str; 7] = ["11", "31", "44", "51", "61", "62", "63"];

/// What one province says: which kind, about which province or proposal.
#[derive(Debug, Clone)]
struct Word {
    by: usize,
    kind: u8,
    about: usize,
    key: u32,
}

/// Blocks of words.
type Story = Vec<Vec<Word>>;

fn said() -> impl Strategy<Value = Word> {
    // Three words in four are votes: it takes four to decide.
    let kind = prop_oneof![12 => Just(0u8), 2 => Just(1u8), 5 => 2u8..7];
    (0..PROVINCES.len(), kind, 0..PROVINCES.len(), 1u32..4)
        .prop_map(|(by, kind, about, key)| Word { by, kind, about, key })
}

fn story() -> impl Strategy<Value = Story> {
    vec(vec(said(), 1..7), 1..40)
}

fn start() -> World {
    let mut world = World::founded_with(&FIVE);
    PROVINCES[5..].iter().for_each(|code| world.found_province(code));
    world
}

fn next_proposal(world: &World) -> u32 {
    world.record::<GovernanceRecord>(&StateKey::Governance).map_or(0, |g| g.next_proposal)
}

fn operation(world: &World, said: &Word) -> Operation {
    let code = PROVINCES[said.about];
    // One of the three newest proposals.
    let newest = u32::try_from(said.about % 3).unwrap() + 1;
    let proposal = next_proposal(world).saturating_sub(newest);
    let action = match said.kind {
        0 => return approving(world, proposal),
        1 => return rejecting(world, proposal),
        2 => Action::RemoveValidator { province: province(code) },
        3 => Action::AddValidator { validator: validator(code, said.key).into() },
        4 => Action::RotateValidator { validator: validator(code, said.key).into() },
        5 if said.key == 1 => Action::RemoveProvince { province: province(code) },
        _ => parameters(1_000 + u64::from(said.key)),
    };
    let expires_at_height = world.height + 10 + u64::from(said.key);
    Operation::Propose { action: Box::new(action), expires_at_height }
}

/// Tells a story block by block. `check` sees the world before a block, the block, which of its
/// transactions were applied, and the world after it.
fn tell(
    story: &Story,
    mut check: impl FnMut(&World, &[Verified], &[Result<(), RejectionCode>], &World),
) {
    let mut world = start();
    for told in story {
        let transaction = |said: &Word| {
            world.sign(of_province(PROVINCES[said.by]), vec![operation(&world, said)])
        };
        let block: Vec<Verified> = told.iter().map(transaction).collect();
        let before = world.clone();
        let outcomes: Vec<_> =
            world.commit_block(&block).into_iter().map(|outcome| outcome.map(drop)).collect();
        check(&before, &block, &outcomes, &world);
    }
}

fn proposals(world: &World) -> impl Iterator<Item = (u32, ProposalRecord)> {
    (0..next_proposal(world)).map(|number| (number, proposal(world, number)))
}

fn the_set_keeps_four_and_changes_by_one_validator_a_block(before: &World, after: &World) {
    let (was, is) = (set(before), set(after));
    assert!(is.validators().len() >= FEWEST_VALIDATORS);
    assert!(changed(&was, &is).len() <= 1, "{:?}", changed(&was, &is));
    let kept = is.validators().iter().filter(|v| was.get(v.province) == Some(*v)).count();
    assert!(kept >= is.quorum());
}

fn nothing_takes_effect_without_a_quorum_of_those_who_voted_on_the_block(
    before: &World,
    after: &World,
) {
    let electorate = set(before);
    for (number, now) in proposals(after) {
        let open = number >= next_proposal(before)
            || proposal(before, number).status == ProposalStatus::Open;
        if !open || !matches!(now.status, ProposalStatus::Executed { .. }) {
            continue;
        }
        let counted = |v: &&symbolon_ledger::governance::ProposalVote| {
            v.approves && electorate.get(v.province).is_some()
        };
        let approvals = now.votes.iter().filter(counted).count();
        assert!(3 * approvals > 2 * electorate.validators().len(), "proposal {number}");
        assert!(before.height <= now.expires_at, "proposal {number}");
    }
}

fn what_is_decided_never_changes_again(before: &World, after: &World) {
    for (number, was) in proposals(before) {
        if was.status != ProposalStatus::Open || was.expires_at < before.height {
            assert_eq!(proposal(after, number), was, "proposal {number}");
        }
    }
}

/// The set and the parameters are those before, but for the actions that took effect in the block.
fn nothing_changes_but_by_an_action_that_took_effect(before: &World, after: &World) {
    let height = before.height;
    let executed: Vec<Action> = proposals(after)
        .filter(|(_, p)| p.status == ProposalStatus::Executed { at: height })
        .map(|(_, p)| p.action)
        .collect();
    // A province without a validator goes, and the set stays as it was.
    let of_the_set = |action: &&Action| match action {
        Action::SetParameters { .. } => false,
        Action::RemoveProvince { province } => set(before).get(*province).is_some(),
        _ => true,
    };
    if set(before) != set(after) {
        assert_eq!(executed.iter().filter(of_the_set).count(), 1, "{executed:?}");
    }
    if before.state[&StateKey::Parameters] != after.state[&StateKey::Parameters] {
        let of_the_chain = |action: &Action| matches!(action, Action::SetParameters { .. });
        assert!(executed.iter().any(of_the_chain), "{executed:?}");
    }
}

proptest! {
    #![proptest_config(Config { cases: STORIES, failure_persistence: None, ..Config::default() })]

    #[test]
    fn the_validator_set_is_guarded(story in story()) {
        tell(&story, |before, _, _, after| {
            the_set_keeps_four_and_changes_by_one_validator_a_block(before, after);
        });
    }

    #[test]
    fn a_quorum_decides_once(story in story()) {
        tell(&story, |before, _, _, after| {
            nothing_takes_effect_without_a_quorum_of_those_who_voted_on_the_block(before, after);
            what_is_decided_never_changes_again(before, after);
            nothing_changes_but_by_an_action_that_took_effect(before, after);
        });
    }

    #[test]
    fn every_governed_state_is_sound(story in story()) {
        tell(&story, |before, block, _, after| {
            after.assert_sound();
            assert_eq!(before.execute(block), before.execute(block));
        });
    }
}

/// Stories that are all refused would prove nothing.
#[test]
fn stories_of_governance_decide_and_are_refused_in_many_ways() {
    use proptest::{strategy::ValueTree as _, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let (mut refusals, mut executed, mut rejected) = (BTreeSet::new(), BTreeSet::new(), 0);
    for _ in 0..4 * STORIES {
        let story = story().new_tree(&mut runner).unwrap().current();
        tell(&story, |before, _, outcomes, after| {
            refusals.extend(outcomes.iter().filter_map(|o| o.err()).map(RejectionCode::name));
            for (_, now) in proposals(after) {
                match now.status {
                    ProposalStatus::Executed { at } if at == before.height => {
                        executed.insert(now.action.name());
                    }
                    ProposalStatus::Rejected { at } if at == before.height => rejected += 1,
                    _ => {}
                }
            }
        });
    }
    assert_eq!(executed.len(), 5, "{executed:?}");
    assert!(rejected > 5, "{rejected}");
    for expected in ["too_few_validators", "validators_busy", "already_voted", "no_vote"] {
        assert!(refusals.contains(expected), "{expected} is not among {refusals:?}");
    }
}
