//! Codes: the short, checked words in which the ledger names provinces, agencies, types and days.
//!
//! Everything here is refused at the border when it is not exactly well formed, so that the rest
//! of the program never meets a second spelling.

use std::{fmt, str::FromStr};

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use thiserror::Error;
use unicode_normalization::is_nfc;

use crate::hash::{Cid, Digest, domain, tagged_hash};

/// Why a text is not the code it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CodeError {
    /// Not two decimal digits.
    #[error("a province code has two digits, such as 44")]
    Province,
    /// Not 18 characters of the alphabet of GB 32100-2015.
    #[error("a unified social credit code has 18 characters of 0-9 and A-Y without I, O, S, V, Z")]
    UsccForm,
    /// The last character is not the check character of the first 17.
    #[error("the check character of this unified social credit code should be {expected}")]
    UsccCheck {
        /// The character that would make it valid.
        expected: char,
    },
    /// Neither a national code of 21 characters nor `local:` with a name.
    #[error(
        "a licence type is 21 characters (a credit code and three digits) or local: and a name of a-z, 0-9 and -"
    )]
    TypeCode,
    /// Empty, too long, not NFC, or with characters that labels do not have.
    #[error(
        "a label has 1 to {MAX_LABEL_CHARS} characters of the scripts in use in China, in Unicode NFC, without control, bidirectional or invisible ones, and no space at its ends"
    )]
    Label,
    /// Not an HTTPS origin in lower case without a path.
    #[error(
        "an issuer origin is https:// and a lower-case host name, without a path or a final slash"
    )]
    Origin,
}

/// Longest label, in characters: the longest agency names in use have about 60.
pub const MAX_LABEL_CHARS: usize = 100;
/// Longest name after `local:`, in bytes.
pub const MAX_LOCAL_TYPE_LEN: usize = 32;
/// Longest issuer origin, in bytes: `https://` and the longest host name of the DNS.
pub const MAX_ORIGIN_LEN: usize = 8 + 253;

/// Gives a checked text its conversions: from text, to text, and to and from CBOR.
macro_rules! text_code {
    ($name:ident, $check:path) => {
        impl FromStr for $name {
            type Err = CodeError;

            fn from_str(text: &str) -> Result<Self, CodeError> {
                $check(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.as_str())
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: encode::Write>(
                &self,
                e: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), encode::Error<W::Error>> {
                e.str(self.as_str())?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
                let at = d.position();
                d.str()?.parse().map_err(|e: CodeError| decode::Error::message(e).at(at))
            }
        }
    };
}

/// A province's two-digit code (GB/T 2260): `44` is Guangdong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProvinceCode([u8; 2]);

impl ProvinceCode {
    /// The two digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("two ASCII digits")
    }
}

fn parse_province(text: &str) -> Result<ProvinceCode, CodeError> {
    match text.as_bytes() {
        [a, b] if a.is_ascii_digit() && b.is_ascii_digit() => Ok(ProvinceCode([*a, *b])),
        _ => Err(CodeError::Province),
    }
}

text_code!(ProvinceCode, parse_province);

/// A unified social credit code (GB 32100-2015): 18 characters, the last one a check character.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uscc([u8; 18]);

const USCC_ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";

impl Uscc {
    /// The 18 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("ASCII")
    }
}

/// The check character of the first 17 characters: weights 3^i modulo 31 (GB 32100-2015, 5.2).
fn uscc_check(first: &[u8]) -> Result<u8, CodeError> {
    let mut weight = 1;
    let mut sum = 0;
    for c in first {
        let value = USCC_ALPHABET.iter().position(|a| a == c).ok_or(CodeError::UsccForm)?;
        sum += value * weight;
        weight = weight * 3 % 31;
    }
    Ok(USCC_ALPHABET[(31 - sum % 31) % 31])
}

fn parse_uscc(text: &str) -> Result<Uscc, CodeError> {
    let bytes: [u8; 18] = text.as_bytes().try_into().map_err(|_| CodeError::UsccForm)?;
    let expected = uscc_check(&bytes[..17])?;
    if !USCC_ALPHABET.contains(&bytes[17]) {
        return Err(CodeError::UsccForm);
    }
    if bytes[17] != expected {
        return Err(CodeError::UsccCheck { expected: expected.into() });
    }
    Ok(Uscc(bytes))
}

text_code!(Uscc, parse_uscc);

/// A licence type: the defining authority's credit code and three digits, or a `local:` name
/// where no national code is confirmed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeCode(String);

impl TypeCode {
    /// The code's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the type has no national code and therefore no national identifier.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.0.starts_with("local:")
    }
}

fn parse_type(text: &str) -> Result<TypeCode, CodeError> {
    let ok = match text.strip_prefix("local:") {
        Some(name) => {
            (1..=MAX_LOCAL_TYPE_LEN).contains(&name.len())
                && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        }
        // The authority's check character is not verified: one code in real use,
        // 1110000000001332XW059, is printed with a credit code that fails it. Some sequence
        // numbers begin with a letter.
        None => {
            text.len() == 21 && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
        }
    };
    if ok { Ok(TypeCode(text.to_owned())) } else { Err(CodeError::TypeCode) }
}

text_code!(TypeCode, parse_type);

/// A name in a registry (a province, an agency, a licence type, a claim). The only free text on
/// the chain, and it names institutions, never people.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

impl Label {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Characters that change how a text looks without being seen: the bidirectional controls of
/// UAX #9, zero-width characters, soft hyphen, tags and variation selectors, private use.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{e000}'..='\u{f8ff}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{ffff}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{10ffff}')
}

/// The characters of a label, as first and last of each range. The list is frozen: what a later
/// version of Unicode adds is not in it, so that two versions of this program, with two tables of
/// normalisation, never disagree about a label. Unicode promises that a text of characters that
/// are assigned stays normalised for ever, and all of these are (Unicode 15.1). A longer list is a
/// change of the rules.
pub const LABEL_CHARACTERS: [(char, char); 43] = [
    (' ', '~'),             // ASCII
    ('\u{a0}', '\u{24f}'),  // Latin
    ('\u{2b0}', '\u{2ff}'), // tone letters and other modifiers
    ('\u{300}', '\u{36f}'), // combining marks, of romanisations
    ('\u{391}', '\u{3a1}'), // Greek
    ('\u{3a3}', '\u{3c9}'), // Greek
    ('\u{400}', '\u{4ff}'), // Cyrillic
    ('\u{60c}', '\u{60c}'), // Arabic, as Uyghur, Kazakh and Kyrgyz write it
    ('\u{61b}', '\u{61b}'),
    ('\u{61f}', '\u{64a}'),
    ('\u{660}', '\u{669}'),
    ('\u{671}', '\u{6d3}'),
    ('\u{f00}', '\u{f47}'), // Tibetan
    ('\u{f49}', '\u{f6c}'),
    ('\u{f71}', '\u{f97}'),
    ('\u{f99}', '\u{fbc}'),
    ('\u{1800}', '\u{180a}'), // Mongolian
    ('\u{1820}', '\u{1878}'),
    ('\u{1e00}', '\u{1eff}'), // Latin with marks, of romanisations
    ('\u{2010}', '\u{2027}'), // punctuation
    ('\u{2030}', '\u{205e}'),
    ('\u{2100}', '\u{218b}'), // letter-like symbols, Roman numerals
    ('\u{2190}', '\u{21ff}'), // arrows
    ('\u{2460}', '\u{24ff}'), // enclosed numbers
    ('\u{25a0}', '\u{25ff}'), // shapes
    ('\u{3000}', '\u{303f}'), // Chinese punctuation
    ('\u{3105}', '\u{312f}'), // Bopomofo
    ('\u{3131}', '\u{318e}'), // Korean
    ('\u{31a0}', '\u{31bf}'), // Bopomofo
    ('\u{3400}', '\u{4dbf}'), // Chinese, extension A
    ('\u{4e00}', '\u{9fff}'), // Chinese
    ('\u{a000}', '\u{a48c}'), // Yi
    ('\u{a490}', '\u{a4c6}'),
    ('\u{ac00}', '\u{d7a3}'),   // Korean
    ('\u{ff01}', '\u{ff5e}'),   // full-width forms
    ('\u{20000}', '\u{2a6df}'), // Chinese, extensions B
    ('\u{2a700}', '\u{2b739}'), // C
    ('\u{2b740}', '\u{2b81d}'), // D
    ('\u{2b820}', '\u{2cea1}'), // E
    ('\u{2ceb0}', '\u{2ebe0}'), // F
    ('\u{2ebf0}', '\u{2ee5d}'), // I
    ('\u{30000}', '\u{3134a}'), // G
    ('\u{31350}', '\u{323af}'), // H
];

/// The characters above that are white space.
const LABEL_SPACES: [char; 3] = [' ', '\u{a0}', '\u{3000}'];

fn parse_label(text: &str) -> Result<Label, CodeError> {
    let count = text.chars().count();
    // The ranges ascend.
    let known = |c: &char| {
        let at = LABEL_CHARACTERS.partition_point(|(_, last)| last < c);
        LABEL_CHARACTERS.get(at).is_some_and(|(first, _)| first <= c)
    };
    let shown = text.chars().all(|c| known(&c) && !c.is_control() && !is_invisible(c));
    let trimmed = !text.starts_with(LABEL_SPACES) && !text.ends_with(LABEL_SPACES);
    if (1..=MAX_LABEL_CHARS).contains(&count) && shown && trimmed && is_nfc(text) {
        Ok(Label(text.to_owned()))
    } else {
        Err(CodeError::Label)
    }
}

text_code!(Label, parse_label);

/// The HTTPS origin under which a province's agencies issue; `iss` of a credential begins with it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(String);

impl Origin {
    /// The origin, such as `https://guangdong.province.example`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The `iss` of credentials that `agency` issues under this origin.
    #[must_use]
    pub fn issuer(&self, agency: &Uscc) -> String {
        format!("{}/a/{agency}", self.0)
    }

    /// The `iss` of the status lists of `province`.
    #[must_use]
    pub fn status_issuer(&self, province: &ProvinceCode) -> String {
        format!("{}/status-lists/{province}", self.0)
    }

    /// The address of status list `list` of `province`.
    #[must_use]
    pub fn status_list(&self, province: &ProvinceCode, list: u32) -> String {
        format!("{}/{list}", self.status_issuer(province))
    }
}

fn parse_origin(text: &str) -> Result<Origin, CodeError> {
    let authority = text.strip_prefix("https://").ok_or(CodeError::Origin)?;
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    let label_ok = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let port_ok = port.parse::<u16>().is_ok_and(|p| p.to_string() == port && p != 0);
    if text.len() <= MAX_ORIGIN_LEN && host.split('.').all(label_ok) && port_ok {
        Ok(Origin(text.to_owned()))
    } else {
        Err(CodeError::Origin)
    }
}

text_code!(Origin, parse_origin);

/// A calendar day in Beijing (UTC+8), as days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Day(#[n(0)] pub u32);

/// The latest day, 9999-12-31: the last that a four-digit year can say.
pub const LAST_DAY: Day = Day(2_932_896);

/// Milliseconds by which Beijing is ahead of UTC. It has had one offset all year since 1992.
pub const BEIJING_OFFSET_MS: u64 = 8 * 3_600_000;
const DAY_MS: u64 = 86_400_000;

impl Day {
    /// The Beijing day in which the instant `unix_ms` (milliseconds since 1970-01-01T00:00Z) lies.
    #[must_use]
    pub fn of_instant(unix_ms: u64) -> Self {
        let days = unix_ms.saturating_add(BEIJING_OFFSET_MS) / DAY_MS;
        Self(u32::try_from(days).map_or(LAST_DAY.0, |d| d.min(LAST_DAY.0)))
    }
}

/// A calendar month, as `year * 12 + (month - 1)`: January 2026 is 24312.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Month(#[n(0)] pub u32);

/// The identifier of a licence on the ledger: SHA-256 of the tag, the issuer's credit code and
/// the SHA-256 of the issuer-signed JWT (`inner`).
///
/// The issuer is hashed in by the contract, not by the submitter, so nobody can register
/// another agency's licence first and keep its identifier from it.
#[must_use]
pub fn cid(issuer: &Uscc, inner: &Digest) -> Cid {
    tagged_hash(domain::CID, &[issuer.as_str().as_bytes(), inner.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_codes_of_real_authorities_are_valid() {
        for code in [
            "11100000000013127D",
            "11100000000013338W",
            "11100000MB03271699",
            "11100000MB0143028R",
            "11100000MB0341032Y",
            "11100000000013661B",
            "11410800MB18523953",
            "11370800MB28559184",
            "91350100M000100Y43",
        ] {
            assert_eq!(code.parse::<Uscc>().map(|u| u.to_string()), Ok(code.to_owned()));
        }
        assert_eq!(
            "11100000000013127A".parse::<Uscc>(),
            Err(CodeError::UsccCheck { expected: 'D' })
        );
        assert_eq!("11100000000013127I".parse::<Uscc>(), Err(CodeError::UsccForm));
        assert_eq!("１１100000".parse::<Uscc>(), Err(CodeError::UsccForm));
    }

    #[test]
    fn codes_have_one_spelling() {
        assert!("44".parse::<ProvinceCode>().is_ok());
        assert!("4".parse::<ProvinceCode>().is_err());
        assert!("11100000000013338W011".parse::<TypeCode>().is_ok());
        assert!("local:driving-licence".parse::<TypeCode>().is_ok());
        assert!("local:Driving".parse::<TypeCode>().is_err());
        assert!("local:".parse::<TypeCode>().is_err());
        assert!("https://gd.province.example".parse::<Origin>().is_ok());
        for bad in [
            "http://a.example",
            "https://A.example",
            "https://a.example/",
            "https://a..b",
            "https://a:0",
        ] {
            assert_eq!(bad.parse::<Origin>(), Err(CodeError::Origin), "{bad}");
        }
    }

    #[test]
    fn labels_hide_nothing() {
        assert!("广东省公安厅交通管理局".parse::<Label>().is_ok());
        for bad in ["", " a", "a\u{202e}b", "a\u{200b}b", "a\nb", "e\u{301}", &"长".repeat(101)] {
            assert_eq!(bad.parse::<Label>(), Err(CodeError::Label), "{bad:?}");
        }
    }

    #[test]
    fn labels_take_the_frozen_characters_and_no_others() {
        for good in [
            "广东省公安厅交通管理局",
            "Guangdong Traffic Police (No. 2), 1st branch",
            "内蒙古自治区 ᠥᠪᠥᠷ ᠮᠣᠩᠭᠣᠯ",
            "新疆维吾尔自治区 شىنجاڭ",
            "西藏自治区 བོད་རང་སྐྱོང་ལྗོངས།",
            "广西壮族自治区 Gvangjsih Bouxcuengh",
            "延边朝鲜族自治州 연변",
            "四川省凉山彝族自治州 ꆃꎭꆈꌠ",
            "𠮷县㐂路（二）第3号《办法》·“Ⅳ”",
        ] {
            assert_eq!(good.parse::<Label>().map(|l| l.to_string()), Ok(good.to_owned()));
        }
        for bad in [
            "a\u{378}",   // not assigned
            "a\u{2fe0}",  // not assigned
            "a\u{2ebe1}", // not assigned
            "a\u{323b0}", // assigned since
            "a\u{1f600}", // a picture
            "\u{f900}",   // a compatibility form, which NFC replaces
            "\u{3000}a",
            "a\u{a0}",
            "a\u{1680}b",
            "a\u{2003}b",
        ] {
            assert_eq!(bad.parse::<Label>(), Err(CodeError::Label), "{bad:?}");
        }
    }

    /// The list is in order, so that it has no two parts that say the same, and has no more white
    /// space than is looked for.
    #[test]
    fn the_frozen_characters_stand_in_order() {
        assert!(LABEL_CHARACTERS.iter().all(|(first, last)| first <= last));
        assert!(LABEL_CHARACTERS.is_sorted_by(|(_, last), (first, _)| last < first));
        let all = LABEL_CHARACTERS.iter().flat_map(|(first, last)| *first..=*last);
        let spaces: Vec<char> =
            all.filter(|c| c.is_whitespace() && !c.is_control() && !is_invisible(*c)).collect();
        assert_eq!(spaces, LABEL_SPACES);
    }

    /// Whoever raises it must see that every character above is still normalised as before.
    #[test]
    fn the_table_of_normalisation_is_the_pinned_one() {
        assert_eq!(unicode_normalization::UNICODE_VERSION, (18, 0, 0));
    }

    #[test]
    fn a_day_begins_at_midnight_in_beijing() {
        assert_eq!(Day::of_instant(0), Day(0));
        assert_eq!(Day::of_instant(DAY_MS - BEIJING_OFFSET_MS - 1), Day(0));
        assert_eq!(Day::of_instant(DAY_MS - BEIJING_OFFSET_MS), Day(1));
        assert_eq!(Day::of_instant(u64::MAX), LAST_DAY);
    }
}
