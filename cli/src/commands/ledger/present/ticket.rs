//! `symbolon present --ticket`: leaves the presentation at a node for a minute, and gives the link
//! under which it can be fetched once.
//!
//! Whoever has the link can fetch it, so it goes to the verifier and nobody else; a QR code of it
//! is small. The node keeps it in memory only. `docs/spec/presentation.md`, level C.

use serde_json::{Value, json};

use crate::{
    args::Context,
    client::{Node, text},
    commands::ledger::shared::plain,
    output::Failure,
};

/// A presentation that lies at a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ticket {
    /// Where it can be fetched, once.
    pub(super) url: String,
    /// When it is gone, RFC 3339.
    pub(super) expires_at: String,
}

impl Ticket {
    /// For people.
    pub(super) fn lines(&self) -> String {
        format!(
            "link     {}\n\
             until    {}",
            plain(&self.url),
            plain(&self.expires_at)
        )
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        json!({"url": self.url, "expires_at": self.expires_at})
    }
}

/// Leaves `presentation` at the node that the command line names.
///
/// # Errors
///
/// When no node is named, or it does not take the presentation.
pub(super) fn leave(presentation: &str, context: &Context) -> Result<Ticket, Failure> {
    let node = Node::of(context)?;
    let answer = node.post("/v1/tickets", &json!({"presentation": presentation}))?;
    let (url, expires_at) = (text(&answer, "url"), text(&answer, "expires_at"));
    if url.is_empty() {
        return Err(Failure::unreachable(
            "strange_answer",
            format!("{} gave no ticket", node.url()),
            "check that --node names a symbolon node of this version",
        ));
    }
    Ok(Ticket { url: url.to_owned(), expires_at: expires_at.to_owned() })
}
