//! The two strict decoders beneath an SD-JWT: base64url in its one canonical spelling, and JSON
//! without duplicate keys.
//!
//! A lenient decoder lets two verifiers read one signed text in two ways. Nothing is repaired
//! here: padding, stray bits, a repeated key, or anything after the value is refused.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use thiserror::Error;

/// Deepest nesting of JSON read here; a credential of ours has four levels (`status`).
pub const MAX_JSON_DEPTH: usize = 8;

/// Why bytes were refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EncodingError {
    /// Not base64url without padding, or not its canonical spelling (RFC 4648, section 3.5).
    #[error("not canonical base64url without padding")]
    Base64,
    /// Not JSON, or JSON that two readers could understand differently. The value itself is
    /// never quoted: it may be personal data.
    #[error("not strict JSON: {0}")]
    Json(String),
}

/// Base64url without padding.
///
/// ```
/// use symbolon_credential::encoding::{from_base64url, to_base64url};
/// assert_eq!(to_base64url(b"\xff\xfe"), "__4");
/// assert_eq!(from_base64url("__4").unwrap(), b"\xff\xfe");
/// assert!(from_base64url("__5").is_err()); // bits beyond the last byte
/// assert!(from_base64url("__4=").is_err());
/// ```
#[must_use]
pub fn to_base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads [`to_base64url`]'s form and no other.
///
/// # Errors
///
/// [`EncodingError::Base64`].
pub fn from_base64url(text: &str) -> Result<Vec<u8>, EncodingError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| EncodingError::Base64)
}

/// Reads one JSON value: UTF-8, no duplicate key, no fractional number, at most
/// [`MAX_JSON_DEPTH`] levels, nothing after it.
///
/// # Errors
///
/// [`EncodingError::Json`], which names the fault and its place but quotes no value.
pub fn parse_json(bytes: &[u8]) -> Result<Value, EncodingError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let refuse = |e: serde_json::Error| {
        let what = match e.classify() {
            serde_json::error::Category::Data => {
                "a duplicate key, a fraction, or too many levels".to_owned()
            }
            _ => "malformed".to_owned(),
        };
        EncodingError::Json(format!("{what} (line {} column {})", e.line(), e.column()))
    };
    let value = Strict { depth: MAX_JSON_DEPTH }.deserialize(&mut reader).map_err(refuse)?;
    reader.end().map_err(refuse)?;
    Ok(value)
}

/// Builds a value and refuses what `serde_json` alone would let pass.
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(&self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth }),
            None => Err(E::custom("too many levels")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value without fractions")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::Number(Number::from(v)))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::Number(Number::from(v)))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self.deeper::<A::Error>()?)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let value = access.next_value_seed(self.deeper::<A::Error>()?)?;
            if entries.insert(key, value).is_some() {
                return Err(A::Error::custom("duplicate key"));
            }
        }
        Ok(Value::Object(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_one_reading() {
        assert_eq!(parse_json(br#" {"a":[1,"x",null,true]} "#).unwrap()["a"][0], 1);
        for bad in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":{"b":1,"b":1}}"#,
            r#"{"a":1} x"#,
            "1.5",
            r#"{"nbf":1e3}"#,
            "",
            "{",
            "[[[[[[[[[[1]]]]]]]]]]",
        ] {
            assert!(matches!(parse_json(bad.as_bytes()), Err(EncodingError::Json(_))), "{bad}");
        }
        assert!(parse_json(b"\"\xff\"").is_err());
    }

    #[test]
    fn faults_quote_no_value() {
        let shown = parse_json(br#"{"name":"Zhang","name":"San"}"#).unwrap_err().to_string();
        assert!(!shown.contains("Zhang") && !shown.contains("name"), "{shown}");
    }

    #[test]
    fn base64url_has_one_spelling() {
        assert_eq!(from_base64url("").unwrap(), b"");
        for bad in ["A", "AB", "AA==", "AA=", "A A", "AA\n", "+/+/", "//"] {
            assert_eq!(from_base64url(bad), Err(EncodingError::Base64), "{bad}");
        }
    }
}
