//! A node's verdict held against the proof that comes with it.
//!
//! With `--trust` or `--genesis` and a node, the presentation is judged here as well, by what the
//! node's proof shows of the ledger. What both say is shown as it was judged here, so that no word
//! of the node is believed. A node may know one thing more: that the presentation was shown before.

use serde_json::{Value, json};
use symbolon_verify::{
    offline::{self, Evidence},
    state_proof::{self, StateProofError},
    verdict::{Outcome, Reason, Verdict},
};

use super::{
    super::super::trusted::{DISTRUST, from_genesis, header_hint, is_unreached, proof_hint},
    Limits, OfflineArgs, Question, Status, answer, no_answer, read_presentation,
};
use crate::{
    args::Context,
    client::{Node, from_base64url, text},
    clock,
    output::Failure,
};

/// Age up to which a trust bundle counts when there is none: the founding document does not age.
const NO_END: u64 = u64::MAX;

/// Whose verdict is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// That which was judged here.
    Own,
    /// The node's: it says less than it might, or that it was shown the same before.
    Nodes,
    /// None: they contradict each other.
    Neither,
}

impl OfflineArgs {
    /// Whether a node's verdict is to be held against its proof.
    pub(in super::super) const fn holds(&self) -> bool {
        !self.offline && (self.trust.is_some() || self.genesis.is_some())
    }

    /// The verdict on `presentation`, when what `node` said holds by its own proof.
    ///
    /// # Errors
    ///
    /// When it does not, or the proof cannot be checked with what is believed.
    pub(in super::super) fn hold(
        &self,
        node: &Node,
        said: Value,
        presentation: &str,
        question: Question<'_>,
        context: &Context,
    ) -> Result<super::Offline, Failure> {
        if question.nonce.is_some() && question.audience.is_none() {
            let hint = "give --audience as well: what --challenge said it is for";
            return Err(Failure::usage("no_audience", "--nonce alone says not for whom", hint));
        }
        let (trust, limit) = match &self.trust {
            Some(_) => (self.read_trust().map_err(no_answer)?, None),
            None => {
                let genesis = self.genesis.as_deref().unwrap_or("".as_ref());
                (from_genesis(genesis)?, Some(NO_END))
            }
        };
        let theirs = read(&said).ok_or_else(|| contradicted("it gave no verdict"))?;
        let Some(proof) = theirs.proof.as_ref().and_then(|proof| from_base64url(proof.as_str()))
        else {
            return match theirs.outcome {
                Outcome::Undetermined => Ok(as_said(said)),
                _ => Err(contradicted("its verdict has no proof")),
            };
        };
        let state = state_proof::check(&proof, &trust).map_err(|error| match &error {
            StateProofError::Header(e) if is_unreached(e) => {
                let message = format!("its proof cannot be checked yet: {error}");
                Failure::new(Status::Undetermined, "more_needed", message, header_hint(e))
            }
            _ => Failure {
                hint: proof_hint(&error).to_owned(),
                ..contradicted(&format!("its proof proves nothing: {error}"))
            },
        })?;
        let states = [state];
        let limits = Limits::of(&states, self.genesis.as_deref()).map_err(no_answer)?;
        let province = match question.province {
            Some(province) => Some(province),
            None => text(&node.get("/v1/status")?, "province").parse().ok(),
        };
        let question = Question { province, ..question };
        let request = question.request(clock::now_ms(), &limits, context)?;
        let parsed = read_presentation(presentation)?;
        let evidence = Evidence { states: &states, list: None };
        let age = limit.unwrap_or(limits.bundle_max_age_ms);
        let own = offline::verify(&parsed, &evidence, &trust, age, &request);
        match shown((theirs.outcome, theirs.reason), (own.outcome, own.reason)) {
            Shown::Own => Ok(answer(&own, &trust, &states, None)),
            Shown::Nodes => Ok(as_said(said)),
            Shown::Neither => Err(contradicted("its verdict says otherwise than its proof")),
        }
    }
}

fn read(said: &Value) -> Option<Verdict> {
    serde_json::from_value(said.clone()).ok()
}

/// The node's own verdict.
fn as_said(mut said: Value) -> super::Offline {
    let status = read(&said).map_or(Status::Undetermined, |verdict| verdict.outcome.into());
    said["evidence"] = json!(null);
    super::Offline { verdict: said, evidence: vec!["none: as the node says".to_owned()], status }
}

fn shown(theirs: (Outcome, Option<Reason>), own: (Outcome, Option<Reason>)) -> Shown {
    match (theirs, own) {
        // Proven here, or time has gone on since the node looked.
        (_, (Outcome::Invalid | Outcome::Undetermined, _)) => Shown::Own,
        ((Outcome::Undetermined, _), _) => Shown::Nodes,
        ((Outcome::Invalid, Some(Reason::Replayed)), (Outcome::Valid, _)) => Shown::Nodes,
        (theirs, own) if theirs == own => Shown::Own,
        _ => Shown::Neither,
    }
}

fn contradicted(what: &str) -> Failure {
    let message = format!("the node cannot be believed: {what}");
    Failure::new(Status::Undetermined, "bad_proof", message, DISTRUST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_counts_only_where_its_proof_says_so_or_it_says_less() {
        let valid = (Outcome::Valid, None);
        let unknown = (Outcome::Unknown, None);
        let undetermined = (Outcome::Undetermined, None);
        let revoked = (Outcome::Invalid, Some(Reason::Revoked));
        let forged = (Outcome::Invalid, Some(Reason::BadSignature));
        let replayed = (Outcome::Invalid, Some(Reason::Replayed));
        for (theirs, own, expected) in [
            (valid, valid, Shown::Own),
            (revoked, revoked, Shown::Own),
            (unknown, unknown, Shown::Own),
            (valid, undetermined, Shown::Own),
            (undetermined, valid, Shown::Nodes),
            (replayed, valid, Shown::Nodes),
            (undetermined, revoked, Shown::Own),
            (valid, revoked, Shown::Own),
            (valid, forged, Shown::Own),
            (valid, unknown, Shown::Neither),
            (unknown, valid, Shown::Neither),
            (revoked, valid, Shown::Neither),
            (replayed, unknown, Shown::Neither),
        ] {
            assert_eq!(shown(theirs, own), expected, "{theirs:?} {own:?}");
        }
    }
}
