//! Evidence of two messages that exclude each other: what convicts, and what never does.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use support::*;
use symbolon_consensus::{
    Message,
    evidence::{Equivocation, NotEvidence},
};
use symbolon_ledger::{hash::sha256, validators::ValidatorSet, vote::NoContradiction};

#[test]
fn evidence_names_the_key_that_signed_twice_and_nobody_else() {
    let (liar, set) = (1, set());
    let (a, b) = (Some(sha256(b"a")), Some(sha256(b"b")));
    let check = |one: Message, other: Message, expected: Result<(), NotEvidence>| {
        let made = Equivocation::of(&chain(), &one, &other);
        let checked = made.and_then(|evidence| {
            // Through the bytes, whoever found it and in whichever order.
            let read = Equivocation::decode(&evidence.encode())?;
            assert_eq!(Equivocation::of(&chain(), &other, &one).as_ref(), Ok(&read));
            read.check(&chain(), &set)
        });
        let guilty = checked.map(|proven| assert_eq!(proven.key, key(liar).public_key()));
        assert_eq!(guilty, expected, "{one:?} {other:?}");
    };
    check(prevote(liar, 1, 0, a), prevote(liar, 1, 0, b), Ok(()));
    check(prevote(liar, 1, 0, None), prevote(liar, 1, 0, b), Ok(()));
    check(precommit(liar, 9, 3, a), precommit(liar, 9, 3, None), Ok(()));
    let made_again = proposal(liar, 1, 2, sha256(b"a"), Some(1));
    check(proposal(liar, 1, 2, sha256(b"a"), None), made_again, Ok(()));
    // What honest validators do: another round, another kind, the same again, two of them.
    let none = || Err(NoContradiction::Compatible.into());
    check(prevote(liar, 1, 0, a), prevote(liar, 1, 1, b), none());
    check(prevote(liar, 1, 0, a), prevote(liar, 2, 0, b), none());
    check(prevote(liar, 1, 0, a), precommit(liar, 1, 0, None), none());
    check(prevote(liar, 1, 0, a), prevote(liar, 1, 0, a), none());
    let two = prevote(2, 1, 0, b);
    check(prevote(liar, 1, 0, a), two, Err(NotEvidence::NotTwoStatements));
    let certificate = polka(&[0, 1, 2], 1, 0, sha256(b"b"));
    check(prevote(liar, 1, 0, a), certificate, Err(NotEvidence::NotTwoStatements));
    // Nobody can put words into another's mouth.
    let Message::Vote(mut forged) = prevote(2, 1, 0, b) else { panic!("made above") };
    forged.province = province(liar);
    let bad = Err(NotEvidence::BadSignature { province: province(liar) });
    check(prevote(liar, 1, 0, a), Message::Vote(forged), bad);
    let evidence = Equivocation::of(&chain(), &prevote(liar, 1, 0, a), &prevote(liar, 1, 0, b));
    let Ok(Equivocation { province, first, second }) = evidence else { panic!("made above") };
    let evidence = Equivocation { province, first: first.clone(), second: second.clone() };
    let without = ValidatorSet::new(set.validators()[2..].to_vec()).unwrap();
    let stranger = Err(NotEvidence::NotAValidator { province, height: 1 });
    assert_eq!(evidence.check(&chain(), &without), stranger);
    let turned = Equivocation { province, first: second, second: first };
    assert_eq!(turned.check(&chain(), &set), Err(NoContradiction::Order.into()));
    let elsewhere = sha256(b"another chain");
    let other = Err(NoContradiction::OtherChain { expected: elsewhere, actual: chain() }.into());
    assert_eq!(turned.check(&elsewhere, &set), other);
}
