//! Base64url of what has kilobytes: the proofs in answers.

use std::fmt;

use base64::Engine as _;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::value::RawValue;

/// Uses AVX2 or NEON where the processor has it; its texts are those of every other engine.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
static ENGINE: std::sync::LazyLock<base64::engine::Simd> = std::sync::LazyLock::new(|| {
    base64::engine::Simd::url_safe(base64::engine::general_purpose::NO_PAD)
});
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use base64::engine::general_purpose::URL_SAFE_NO_PAD as ENGINE;

/// Base64url without padding that is written into JSON as it stands. It has nothing that must be
/// escaped, and to look for that byte by byte takes longer than all the rest of writing it: here it is
/// looked through once, eight bytes at a time, when it is made.
///
/// ```
/// use symbolon_credential::long_text::Base64UrlText;
/// let text = Base64UrlText::of(b"\xff\xfe");
/// assert_eq!(text.as_str(), "__4");
/// assert_eq!(serde_json::to_string(&text)?, "\"__4\"");
/// assert_eq!(serde_json::from_str::<Base64UrlText>("\"__4\"")?, text);
/// assert!(serde_json::from_str::<Base64UrlText>("\"a\\\"b\"").is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct Base64UrlText(Box<RawValue>);

impl Base64UrlText {
    /// The text of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut quoted = String::with_capacity(bytes.len().div_ceil(3) * 4 + 2);
        quoted.push('"');
        ENGINE.encode_string(bytes, &mut quoted);
        Self::quoted(quoted)
    }

    /// The text, without quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get().trim_matches('"')
    }

    /// `text` is a quotation mark and letters of the alphabet.
    fn quoted(mut text: String) -> Self {
        text.push('"');
        Self(RawValue::from_string(text).expect("letters in quotes are JSON"))
    }
}

impl fmt::Debug for Base64UrlText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get())
    }
}

impl PartialEq for Base64UrlText {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Eq for Base64UrlText {}

impl<'de> Deserialize<'de> for Base64UrlText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if !text.bytes().all(known) {
            return Err(D::Error::custom("not base64url without padding"));
        }
        Ok(Self::quoted(format!("\"{text}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::to_base64url;

    #[test]
    fn it_is_the_text_that_the_plain_encoder_gives_at_every_length() {
        let bytes: Vec<u8> = (0..1_024_u32).map(|n| (n * 167 % 251) as u8).collect();
        for length in 0..bytes.len() {
            let text = Base64UrlText::of(&bytes[..length]);
            assert_eq!(text.as_str(), to_base64url(&bytes[..length]), "{length} bytes");
        }
    }
}
