//! From the text that a verifier has, which may come from a QR code, to a presentation.

use std::borrow::Cow;

use symbolon_credential::{elc1, sd_jwt::Parsed};

use crate::http::error::Problem;

/// The presentation in `text`, with the white space around it left out.
pub(in crate::http) fn parse(text: &str) -> Result<Parsed, Problem> {
    let text = unpack(text.trim())?;
    Parsed::parse(&text).map_err(|error| {
        let hint = "give the whole SD-JWT text, from eyJ to the last ~ or key-binding JWT";
        malformed(error.to_string(), hint)
    })
}

/// The SD-JWT text that `text` is, or that is packed in it.
fn unpack(text: &str) -> Result<Cow<'_, str>, Problem> {
    if text.is_empty() {
        return Err(malformed("the presentation is empty".to_owned(), "give the SD-JWT text"));
    }
    if !text.starts_with(elc1::PREFIX) {
        return Ok(Cow::Borrowed(text));
    }
    elc1::decode(text).map(Cow::Owned).map_err(|error| {
        let hint = "scan the whole code again, and give its text as it is";
        malformed(error.to_string(), hint)
    })
}

fn malformed(detail: String, hint: &str) -> Problem {
    Problem::bad("malformed_presentation", detail, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_presentation_is_refused_with_a_hint() {
        for text in ["", "  ", "no licence", "ELC1:", "ELC1:ABC", "elc1:6BF", "a.b.c~"] {
            let problem = parse(text).unwrap_err();
            assert_eq!(problem.code, "malformed_presentation", "{text}");
            assert!(!problem.hint.is_empty());
        }
    }
}
