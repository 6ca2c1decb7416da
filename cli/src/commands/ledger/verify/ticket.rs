//! A presentation behind a one-time link, which its holder left at a node for a minute.
//!
//! The link comes from a QR code, so it may name anything: only `/t/` and a ticket is fetched, over
//! https or from this machine, without following it elsewhere, and only a presentation is taken.
//! It is then verified at the verifier's own node, which the holder's node cannot speak for.

use symbolon_credential::{
    encoding::from_base64url,
    sd_jwt::{MAX_PRESENTATION_LEN, Parsed},
};

use crate::{
    client::{Node, NodeError, is_loopback},
    output::Failure,
};

/// Where tickets lie at a node.
const PLACE: &str = "/t/";
/// Bytes of a ticket.
const TICKET_LEN: usize = 16;
/// Media type of SD-JWT text.
const DC_SD_JWT: &str = "application/dc+sd-jwt";

/// Whether an argument of the command line is a link.
pub(super) fn is_link(argument: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| argument.starts_with(scheme))
}

/// Whether a text is the link of a ticket that would be fetched.
pub(super) fn is_ticket(text: &str) -> bool {
    is_link(text) && split(text).is_ok()
}

/// Fetches the presentation, which then is at its node no more.
pub(super) fn fetch(link: &str) -> Result<String, Failure> {
    let (origin, path) = split(link)?;
    let limit = MAX_PRESENTATION_LEN as u64;
    let text = Node::at(origin).text(path, DC_SD_JWT, limit).map_err(|error| match error {
        // The link names the node, and no flag of the command line could mend that.
        NodeError::Unreachable(failure) => {
            let hint = "a link is good for a minute at its node; ask the holder for a new one";
            Failure { hint: hint.to_owned(), ..failure }
        }
        problem @ NodeError::Problem(_) => problem.into(),
    })?;
    Parsed::parse(&text).map_err(|error| {
        Failure::refused(
            "malformed_presentation",
            format!("what lay behind the link is no presentation: {error}"),
            "ask the holder for a new link",
        )
    })?;
    Ok(text)
}

/// The origin of a link and the path of its ticket.
fn split(link: &str) -> Result<(&str, &str), Failure> {
    let refuse = |what: &str, hint: &str| Err(Failure::usage("no_ticket_link", what, hint));
    let start = link.find("://").map_or(0, |at| at + 3);
    let at = link[start..].find('/').map_or(link.len(), |at| start + at);
    let (origin, path) = link.split_at(at);
    let host = &origin[start..];
    let ticket = path.strip_prefix(PLACE).and_then(|ticket| from_base64url(ticket).ok());
    let strange = |c: char| c.is_whitespace() || c.is_control() || "@?#\\".contains(c);
    if host.is_empty() || host.contains(strange) || ticket.is_none_or(|t| t.len() != TICKET_LEN) {
        return refuse(
            "this is not the link of a ticket",
            "a ticket's link ends in /t/ and 22 characters; copy it whole",
        );
    }
    if origin.starts_with("http://") && !is_loopback(origin) {
        return refuse(
            "this link would send a licence through the network in the clear",
            "ask the holder for a link that begins with https://",
        );
    }
    Ok((origin, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_gone_is_not_blamed_on_the_command_line() {
        let failure = fetch(&format!("http://127.0.0.1:1/t/{}", "A".repeat(22))).unwrap_err();
        assert_eq!(failure.code, "unreachable");
        assert!(!failure.hint.contains("--node"), "{}", failure.hint);
    }

    #[test]
    fn only_a_ticket_over_https_or_from_this_machine_is_fetched() {
        let ticket = "A".repeat(21) + "A";
        for origin in ["https://node.example", "https://node.example:8443", "http://127.0.0.1:8103"]
        {
            let link = format!("{origin}/t/{ticket}");
            let expected = (origin, format!("/t/{ticket}"));
            assert_eq!(split(&link).unwrap(), (expected.0, expected.1.as_str()));
            assert!(is_ticket(&link));
        }
        for wrong in [
            "https://node.example".to_owned(),
            "https://node.example/".to_owned(),
            "https://node.example/t/".to_owned(),
            format!("https://node.example/t/{}", &ticket[1..]),
            format!("https://node.example/t/{ticket}?x"),
            format!("https://node.example/t/{ticket}/"),
            format!("https://node.example/x/t/{ticket}"),
            format!("https://user@node.example/t/{ticket}"),
            format!("https:///t/{ticket}"),
            format!("https://node.example /t/{ticket}"),
            format!("http://node.example/t/{ticket}"),
            format!("http://127.0.0.1.evil.example/t/{ticket}"),
        ] {
            assert_eq!(split(&wrong).unwrap_err().code, "no_ticket_link", "{wrong}");
            assert!(!is_ticket(&wrong), "{wrong}");
        }
    }
}
