//! A presentation taken apart: its JSON without what is random in it, the signatures, and the
//! random strings as bytes.
//!
//! ```text
//! {"alg":…,"kid":"3"} \n {"iss":…,"_sd":[⊙,⊙]} \n [⊙,"name","陆园琼"] \n {"alg":…} \n {…,"nonce":⊙,…} \n
//! ```
//!
//! where ⊙ is the byte 01 and stands for the next side entry, quotes included. Works on bytes:
//! whether they are JSON, and UTF-8, is for who reads the presentation.

use super::{DecodeError, EncodeError};
use crate::{
    encoding::{from_base64url, to_base64url},
    sd_jwt::MAX_DISCLOSURES,
};

/// Stands for a string that was taken out.
const MARK: u8 = 0x01;
/// Ends every part of the JSON.
const END: u8 = b'\n';
/// Fewest and most bytes of a string that is taken out: from a salt or nonce of 128 bits to a
/// digest of 512.
const TAKEN: std::ops::RangeInclusive<usize> = 16..=64;
/// Characters that such strings have in base64url, for a cheap refusal of all others.
const TAKEN_CHARS: std::ops::RangeInclusive<usize> = 22..=86;
/// Bytes of a signature.
const SIGNATURE_LEN: usize = 64;

/// A presentation taken apart.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Template {
    /// The parts' JSON with marks, each part ended by a line break.
    pub(super) json: Vec<u8>,
    /// The issuer's signature, and the holder's if there is a key binding.
    pub(super) signatures: Vec<u8>,
    /// What the marks stand for: a length and so many bytes, each.
    pub(super) side: Vec<u8>,
}

impl Template {
    /// Takes a presentation apart.
    pub(super) fn of(presentation: &str) -> Result<Self, EncodeError> {
        let mut taken = Self { json: Vec::new(), signatures: Vec::new(), side: Vec::new() };
        let (jwt, rest) = presentation.split_once('~').ok_or(EncodeError::Parts)?;
        taken.add_jwt(jwt)?;
        let Some((disclosures, last)) = rest.rsplit_once('~') else {
            // No `~` after the first: what follows it, if anything, is a key binding.
            return taken.with_key_binding(rest);
        };
        let count = disclosures.split('~').count();
        super::bound("the number of disclosures", count, MAX_DISCLOSURES)?;
        for disclosure in disclosures.split('~') {
            taken.add_part(disclosure, b'[')?;
        }
        taken.with_key_binding(last)
    }

    /// What was inflated, and the bytes after it.
    pub(super) fn read(json: Vec<u8>, rest: &[u8]) -> Result<Self, DecodeError> {
        let count = if Parts::of(&json)?.key_binding.is_some() { 2 } else { 1 };
        let length = count * SIGNATURE_LEN;
        let (signatures, side) = rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        Ok(Self { json, signatures: signatures.to_vec(), side: side.to_vec() })
    }

    /// Puts the presentation together again.
    pub(super) fn text(&self) -> Result<String, DecodeError> {
        let parts = Parts::of(&self.json)?;
        let mut side = self.side.as_slice();
        let mut signatures = self.signatures.chunks(SIGNATURE_LEN).map(to_base64url);
        let mut jwt = |[header, payload]: [&[u8]; 2], side: &mut &[u8]| {
            let header = restored(header, side)?;
            let payload = restored(payload, side)?;
            let signature = signatures.next().ok_or(DecodeError::Truncated)?;
            Ok(format!("{header}.{payload}.{signature}"))
        };
        let mut text = jwt(parts.issuer, &mut side)?;
        text.push('~');
        for disclosure in parts.disclosures {
            text.push_str(&restored(disclosure, &mut side)?);
            text.push('~');
        }
        if let Some(binding) = parts.key_binding {
            text.push_str(&jwt(binding, &mut side)?);
        }
        if side.is_empty() { Ok(text) } else { Err(DecodeError::Trailing) }
    }

    fn with_key_binding(mut self, jwt: &str) -> Result<Self, EncodeError> {
        if !jwt.is_empty() {
            self.add_jwt(jwt)?;
        }
        Ok(self)
    }

    fn add_jwt(&mut self, jwt: &str) -> Result<(), EncodeError> {
        let parts: Vec<&str> = jwt.split('.').collect();
        let [header, payload, signature] = parts.as_slice() else {
            return Err(EncodeError::Parts);
        };
        self.add_part(header, b'{')?;
        self.add_part(payload, b'{')?;
        let signature = from_base64url(signature).map_err(|_| EncodeError::Base64)?;
        if signature.len() != SIGNATURE_LEN {
            return Err(EncodeError::Signature);
        }
        self.signatures.extend_from_slice(&signature);
        Ok(())
    }

    fn add_part(&mut self, part: &str, opening: u8) -> Result<(), EncodeError> {
        let json = from_base64url(part).map_err(|_| EncodeError::Base64)?;
        if json.first() != Some(&opening) {
            return Err(EncodeError::Opening);
        }
        if json.contains(&MARK) || json.contains(&END) {
            return Err(EncodeError::Reserved);
        }
        self.take_apart(&json);
        self.json.push(END);
        Ok(())
    }

    /// Appends `json`, with a mark for every string whose bytes go to the side.
    fn take_apart(&mut self, json: &[u8]) {
        let mut rest = json;
        while let Some((before, inside, after)) = next_string(rest) {
            self.json.extend_from_slice(before);
            match taken_out(inside) {
                Some(bytes) => {
                    self.json.push(MARK);
                    self.side.push(u8::try_from(bytes.len()).expect("at most 64"));
                    self.side.extend_from_slice(&bytes);
                }
                None => {
                    self.json.push(b'"');
                    self.json.extend_from_slice(inside);
                    self.json.push(b'"');
                }
            }
            rest = after;
        }
        self.json.extend_from_slice(rest);
    }
}

/// Before, inside and after the first string of `json`, without its quotes. A backslash takes the
/// byte after it into the string.
fn next_string(json: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let open = json.iter().position(|b| *b == b'"')?;
    let (before, tail) = (&json[..open], &json[open + 1..]);
    let mut at = 0;
    while let Some(byte) = tail.get(at) {
        match byte {
            b'"' => return Some((before, &tail[..at], &tail[at + 1..])),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// The bytes of a string that goes to the side.
fn taken_out(inside: &[u8]) -> Option<Vec<u8>> {
    if !TAKEN_CHARS.contains(&inside.len()) {
        return None;
    }
    let text = std::str::from_utf8(inside).ok()?;
    from_base64url(text).ok().filter(|bytes| TAKEN.contains(&bytes.len()))
}

/// The base64url of one part, its marks replaced by the next entries of `side`.
fn restored(part: &[u8], side: &mut &[u8]) -> Result<String, DecodeError> {
    let mut json = Vec::with_capacity(part.len());
    for byte in part {
        if *byte != MARK {
            json.push(*byte);
            continue;
        }
        let (length, rest) = side.split_first().ok_or(DecodeError::Truncated)?;
        if !TAKEN.contains(&usize::from(*length)) {
            return Err(DecodeError::Side);
        }
        let entry = rest.split_at_checked(usize::from(*length));
        let (bytes, rest) = entry.ok_or(DecodeError::Truncated)?;
        json.push(b'"');
        json.extend_from_slice(to_base64url(bytes).as_bytes());
        json.push(b'"');
        *side = rest;
    }
    Ok(to_base64url(&json))
}

/// The parts of the JSON of a template.
struct Parts<'j> {
    issuer: [&'j [u8]; 2],
    disclosures: Vec<&'j [u8]>,
    key_binding: Option<[&'j [u8]; 2]>,
}

impl<'j> Parts<'j> {
    /// Header and payload, disclosures (`[`), and a key binding's header and payload (`{`).
    fn of(json: &'j [u8]) -> Result<Self, DecodeError> {
        let body = json.strip_suffix(&[END]).ok_or(DecodeError::Segments)?;
        let parts: Vec<&[u8]> = body.split(|b| *b == END).collect();
        let opens = |part: &[u8], with| part.first() == Some(&with);
        let (issuer, rest) = parts.split_first_chunk::<2>().ok_or(DecodeError::Segments)?;
        let shown = rest.iter().take_while(|part| opens(part, b'[')).count();
        let (disclosures, last) = rest.split_at(shown);
        let key_binding = match last {
            [] => None,
            [header, payload] => Some([*header, *payload]),
            _ => return Err(DecodeError::Segments),
        };
        if !issuer.iter().chain(key_binding.iter().flatten()).all(|part| opens(part, b'{')) {
            return Err(DecodeError::Segments);
        }
        if disclosures.len() > MAX_DISCLOSURES {
            return Err(DecodeError::Disclosures);
        }
        Ok(Self { issuer: *issuer, disclosures: disclosures.to_vec(), key_binding })
    }
}
