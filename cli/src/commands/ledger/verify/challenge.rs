//! `symbolon verify --challenge`: asks the node for a nonce that one holder signs, once.
//!
//! The nonce is told to the holder by whatever way there is; the presentation that comes back is
//! verified at the same node, with the same nonce.

use clap::Args;
use serde_json::{Map, Value, json};

use crate::{
    args::Context,
    client::{Node, text},
    commands::ledger::shared::plain,
    output::{Answer, Failure, Outcome},
};

/// The flag.
#[derive(Debug, Args)]
pub(super) struct ChallengeArgs {
    /// Instead of verifying: ask the node for a nonce that the holder is to sign
    #[arg(
        long,
        conflicts_with_all = ["presentation", "at", "province", "nonce", "show_all"]
    )]
    challenge: bool,
}

/// Asks for a challenge for `audience`, or for the node's own.
pub(super) fn run(audience: Option<&str>, context: &Context) -> Outcome {
    let mut body = Map::new();
    if let Some(audience) = audience {
        body.insert("audience".to_owned(), json!(audience));
    }
    let node = Node::of(context)?;
    let challenge = node.post("/v1/challenges", &Value::Object(body))?;
    let (nonce, audience) = (text(&challenge, "nonce"), text(&challenge, "audience"));
    if nonce.is_empty() || audience.is_empty() {
        return Err(Failure::unreachable(
            "strange_answer",
            format!("{} gave no challenge", node.url()),
            "check that --node names a symbolon node of this version",
        ));
    }
    Ok(Answer::new(show(&challenge, node.url()), challenge))
}

/// A challenge for people, and what to do with it.
fn show(challenge: &Value, node: &str) -> String {
    let (nonce, audience) = (plain(text(challenge, "nonce")), plain(text(challenge, "audience")));
    let flags = format!("--nonce {} --audience {}", quoted(&nonce), quoted(&audience));
    format!(
        "nonce       {nonce}\n\
         audience    {audience}\n\
         until       {}\n\
         \n\
         the holder signs it with\n  symbolon present FILE {flags}\n\
         and what comes back is verified once, here, with\n  \
         symbolon verify PRESENTATION {flags} --node {}",
        plain(text(challenge, "expires_at")),
        plain(node),
    )
}

/// A word as a shell takes it for one.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    if word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_says_what_to_do_with_it() {
        let challenge = json!({
            "nonce": "elicabc", "audience": "the bank's desk 3",
            "expires_at": "2026-11-23T00:05:00.000Z",
        });
        let shown = show(&challenge, "http://127.0.0.1:8101");
        for part in [
            "nonce       elicabc\n",
            "until       2026-11-23T00:05:00.000Z\n",
            "symbolon present FILE --nonce elicabc --audience 'the bank'\\''s desk 3'\n",
            "--node http://127.0.0.1:8101",
        ] {
            assert!(shown.contains(part), "{part:?} in\n{shown}");
        }
    }
}
