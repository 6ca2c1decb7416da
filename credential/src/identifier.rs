//! Identifiers printed on licences: the national e-licence identifier and the resident identity
//! number, with their check characters.
//!
//! Neither ever reaches the ledger. Credit codes, which name organisations, are
//! [`symbolon_ledger::codes::Uscc`].

use std::{fmt, str::FromStr};

use symbolon_ledger::codes::{TypeCode, Uscc};
use thiserror::Error;

use crate::date::{self, Date};

/// The arc of the object identifier under which e-licences are named (ZWFW C0123-2018).
pub const ROOT: &str = "1.2.156.3005.2";
/// Characters of a serial that this program makes: a Hubei guide says 20, random.
pub const SERIAL_LEN: usize = 20;
/// Longest serial accepted: Shandong uses UUIDs without hyphens.
pub const MAX_SERIAL_LEN: usize = 32;
/// Highest version: three digits, from 001.
pub const MAX_VERSION: u16 = 999;

const TYPE_LEN: usize = 21;
const ALPHABET: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Why a text is not a national e-licence identifier, or none can be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdentifierError {
    /// Not `1.2.156.3005.2.` and five parts.
    #[error(
        "an e-licence identifier is {ROOT} and five parts: type, issuer, serial, version, check"
    )]
    Parts,
    /// The type part is not 21 digits and capital letters.
    #[error("the type part has 21 digits and capital letters")]
    Type,
    /// The issuer part is neither a code of 18 characters nor a region of six digits.
    #[error("the issuer part has 18 digits and capital letters")]
    Issuer,
    /// The serial is empty, too long, or has other characters.
    #[error("the serial has 1 to {MAX_SERIAL_LEN} digits and capital letters")]
    Serial,
    /// The version is not three digits from 001 on.
    #[error("the version has three digits, from 001")]
    Version,
    /// The check character is another one.
    #[error("the check character should be {expected}")]
    Check {
        /// The character that would make it valid.
        expected: char,
    },
    /// The type is a `local:` one, which has no national identifier.
    #[error("a local: type has no national identifier")]
    LocalType,
}

/// A national e-licence identifier, `1.2.156.3005.2.<type>.<issuer>.<serial>.<version>.<check>`.
///
/// It identifies one person's licence: its `Debug` form shows only the type.
///
/// ```
/// use symbolon_credential::identifier::NationalIdentifier;
/// let text = "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.002.S";
/// let identifier: NationalIdentifier = text.parse().unwrap();
/// assert_eq!(identifier.version(), 2);
/// assert_eq!(identifier.to_string(), text);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct NationalIdentifier {
    type_code: String,
    issuer: String,
    serial: String,
    version: u16,
}

impl NationalIdentifier {
    /// The identifier of version `version` of a licence.
    ///
    /// # Errors
    ///
    /// [`IdentifierError`] for a local type, a malformed serial, or a version out of 1 to 999.
    pub fn new(
        licence_type: &TypeCode,
        issuer: &Uscc,
        serial: &str,
        version: u16,
    ) -> Result<Self, IdentifierError> {
        if licence_type.is_local() {
            return Err(IdentifierError::LocalType);
        }
        check_serial(serial)?;
        if !(1..=MAX_VERSION).contains(&version) {
            return Err(IdentifierError::Version);
        }
        Ok(Self {
            type_code: licence_type.to_string(),
            issuer: issuer.to_string(),
            serial: serial.to_owned(),
            version,
        })
    }

    /// The type part, 21 characters.
    #[must_use]
    pub fn type_code(&self) -> &str {
        &self.type_code
    }

    /// The issuer part: a credit code, or in some older systems a region of six digits.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The serial.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// The version, from 1; it grows at each renewal.
    #[must_use]
    pub fn version(&self) -> u16 {
        self.version
    }

    /// The check character: ISO 7064 MOD 37,36 over type, issuer, serial and version, without
    /// the root and the dots.
    #[must_use]
    pub fn check(&self) -> char {
        let body = format!("{}{}{}{:03}", self.type_code, self.issuer, self.serial, self.version);
        mod_37_36(&body).expect("every part is made of digits and capital letters")
    }

    /// The identifier without version and check: what all versions of one licence share.
    #[must_use]
    pub fn stem(&self) -> String {
        format!("{ROOT}.{}.{}.{}", self.type_code, self.issuer, self.serial)
    }
}

impl FromStr for NationalIdentifier {
    type Err = IdentifierError;

    fn from_str(text: &str) -> Result<Self, IdentifierError> {
        let rest = text.strip_prefix(ROOT).and_then(|r| r.strip_prefix('.'));
        let parts: Vec<&str> = rest.ok_or(IdentifierError::Parts)?.split('.').collect();
        let [type_code, issuer, serial, version, check] = parts.as_slice() else {
            return Err(IdentifierError::Parts);
        };
        if type_code.len() != TYPE_LEN || !is_alphanumeric(type_code) {
            return Err(IdentifierError::Type);
        }
        // Some systems in use write their region (340100) where the code belongs. It is read,
        // since such licences exist, and never written: `new` takes a credit code only.
        let region = issuer.len() == 6 && issuer.bytes().all(|b| b.is_ascii_digit());
        if !region && (issuer.len() != 18 || !is_alphanumeric(issuer)) {
            return Err(IdentifierError::Issuer);
        }
        check_serial(serial)?;
        let digits = version.len() == 3 && version.bytes().all(|b| b.is_ascii_digit());
        let number = version.parse().ok().filter(|v| digits && *v >= 1);
        let identifier = Self {
            type_code: (*type_code).to_owned(),
            issuer: (*issuer).to_owned(),
            serial: (*serial).to_owned(),
            version: number.ok_or(IdentifierError::Version)?,
        };
        let expected = identifier.check();
        if *check != expected.to_string() {
            return Err(IdentifierError::Check { expected });
        }
        Ok(identifier)
    }
}

impl fmt::Display for NationalIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}.{}", self.stem(), self.version, self.check())
    }
}

impl fmt::Debug for NationalIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NationalIdentifier(of type {})", self.type_code)
    }
}

fn is_alphanumeric(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
}

fn check_serial(serial: &str) -> Result<(), IdentifierError> {
    if (1..=MAX_SERIAL_LEN).contains(&serial.len()) && is_alphanumeric(serial) {
        Ok(())
    } else {
        Err(IdentifierError::Serial)
    }
}

/// A serial of [`SERIAL_LEN`] characters from 16 random bytes. A serial must say nothing of the
/// licence or its holder, so it is drawn, not counted.
#[must_use]
pub fn serial_from(entropy: &[u8; 16]) -> String {
    // 36^20 is about 2^103.4: of 128 bits, the bias of the remainder is below 2^-24.
    let mut rest = u128::from_be_bytes(*entropy);
    let mut serial = String::with_capacity(SERIAL_LEN);
    for _ in 0..SERIAL_LEN {
        let digit = usize::try_from(rest % 36).expect("a remainder of 36");
        serial.push(char::from(ALPHABET[digit]));
        rest /= 36;
    }
    serial
}

/// The check character of ISO/IEC 7064 MOD 37,36 (hybrid system), or `None` when `body` has a
/// character other than a digit or a capital letter.
///
/// A letter's value is 10 for A to 35 for Z. An older library in wide use counts A as 11 and
/// gives other characters; what it made is refused.
#[must_use]
pub fn mod_37_36(body: &str) -> Option<char> {
    let mut product = 36;
    for byte in body.bytes() {
        let value = ALPHABET.iter().position(|a| *a == byte)?;
        let sum = match (product + value) % 36 {
            0 => 36,
            sum => sum,
        };
        product = sum * 2 % 37;
    }
    // Product and check value must make 1 modulo 36.
    Some(char::from(ALPHABET[(37 - product) % 36]))
}

/// Why a text is not a resident identity number.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ResidentIdError {
    /// Not 17 digits and a digit or X.
    #[error("a resident identity number has 17 digits and a digit or capital X")]
    Form,
    /// Digits 7 to 14 are not a date.
    #[error("digits 7 to 14 are not a date of birth")]
    BirthDate,
    /// The last character is another one. Which, is not said: the number names a person.
    #[error("the check character does not fit the 17 digits")]
    Check,
}

/// Checks a resident identity number (GB 11643-1999: 17 digits and ISO 7064 MOD 11-2) and gives
/// the date of birth in it.
///
/// # Errors
///
/// [`ResidentIdError`].
///
/// ```
/// use symbolon_credential::identifier::birth_date;
/// assert_eq!(birth_date("440106198805120010").unwrap().to_string(), "1988-05-12");
/// assert!(birth_date("440106198805120013").is_err());
/// ```
pub fn birth_date(number: &str) -> Result<Date, ResidentIdError> {
    let bytes: &[u8; 18] = number.as_bytes().try_into().map_err(|_| ResidentIdError::Form)?;
    let (last, digits) = bytes.split_last().expect("18 bytes");
    if !digits.iter().all(u8::is_ascii_digit) || !(last.is_ascii_digit() || *last == b'X') {
        return Err(ResidentIdError::Form);
    }
    if mod_11_2(digits) != *last {
        return Err(ResidentIdError::Check);
    }
    let part = |r: std::ops::Range<usize>| number[r].parse::<i16>().ok();
    let small = |r| part(r).and_then(|n| i8::try_from(n).ok());
    match (part(6..10), small(10..12), small(12..14)) {
        (Some(y), Some(m), Some(d)) => date::from_parts(y, m, d).ok_or(ResidentIdError::BirthDate),
        _ => Err(ResidentIdError::BirthDate),
    }
}

/// The check character of ISO/IEC 7064 MOD 11-2 (pure system) of decimal digits.
fn mod_11_2(digits: &[u8]) -> u8 {
    let sum = digits.iter().fold(0u32, |sum, d| (sum + u32::from(d - b'0')) * 2 % 11);
    let check = (12 - sum) % 11;
    b"0123456789X"[check as usize]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn identifiers_found_in_the_wild_are_valid() {
        for text in [
            "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U",
            "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.002.S",
            "1.2.156.3005.2.11100000000013338W009.11330105002500287C.2025052201.002.0",
            "1.2.156.3005.2.11100000MB03271699022.340100.000000016.001.9",
            "1.2.156.3005.2.11100000000013338W032.11220000013544541J.2430599.001.F",
            "1.2.156.3005.2.11100000000013338W087.11370800MB28559184.37080001202411010001.001.3",
            "1.2.156.3005.2.11100000000013127D001.11440000006939836Y.7K2Q9X4M1B8ZP3T6R5VA.001.D",
            "1.2.156.3005.2.11100000MB0143028R001.11310000MB2F30170G.0A1B2C3D4E5F6G7H8J9K.002.Z",
        ] {
            let parsed = text.parse::<NationalIdentifier>();
            assert_eq!(parsed.map(|i| i.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn malformed_identifiers_are_refused_with_the_part_at_fault() {
        let check = |text: &str, expected: IdentifierError| {
            assert_eq!(text.parse::<NationalIdentifier>(), Err(expected), "{text}");
        };
        // A published sample whose check character is wrong.
        check(
            "1.2.156.3005.2.11100000000013661B006.113700000045046442.209FA4E88F9E4C878F3E9BED2CE7EA49.001.M",
            IdentifierError::Check { expected: 'D' },
        );
        // What the library that counts A as 11 makes of a real identifier.
        check(
            "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.T",
            IdentifierError::Check { expected: 'U' },
        );
        let with = |t: &str, i: &str, s: &str, v: &str| format!("1.2.156.3005.2.{t}.{i}.{s}.{v}.0");
        let (t, i) = ("11100000000013338W011", "11430000006122244L");
        check(&with("1110", i, "1", "001"), IdentifierError::Type);
        check(&with(t, "44000", "1", "001"), IdentifierError::Issuer);
        check(&with(t, "11430000006122244l", "1", "001"), IdentifierError::Issuer);
        check(&with(t, i, "", "001"), IdentifierError::Serial);
        check(&with(t, i, &"1".repeat(33), "001"), IdentifierError::Serial);
        check(&with(t, i, "1", "1"), IdentifierError::Version);
        check(&with(t, i, "1", "000"), IdentifierError::Version);
        check(&with(t, i, "1", "+01"), IdentifierError::Version);
        for text in ["", "1.2.156.3005.2", "1.2.156.3005.22.a.b.c.d.e", "1.2.156.3005.2.a.b.c.d"] {
            check(text, IdentifierError::Parts);
        }
    }

    #[test]
    fn a_local_type_has_no_national_identifier() {
        let local: TypeCode = "local:driving-licence".parse().unwrap();
        let issuer: Uscc = "11410800MB18523953".parse().unwrap();
        let made = NationalIdentifier::new(&local, &issuer, "1", 1);
        assert_eq!(made, Err(IdentifierError::LocalType));
    }

    #[test]
    fn resident_numbers_carry_a_birth_date_and_a_check() {
        assert_eq!(birth_date("449999197402036034").unwrap().to_string(), "1974-02-03");
        let check = |text: &str, expected| assert_eq!(birth_date(text), Err(expected), "{text}");
        check("449999198312209941", ResidentIdError::Check);
        check("440106198805120013", ResidentIdError::Check);
        check("44010619880512001x", ResidentIdError::Form);
        check("44010619880512001", ResidentIdError::Form);
        check("４40106198805120010", ResidentIdError::Form);
        check("", ResidentIdError::Form);
        // A number with a right check and an impossible month.
        let digits = b"44010619881312001";
        let text = format!("{}{}", "44010619881312001", char::from(mod_11_2(digits)));
        check(&text, ResidentIdError::BirthDate);
    }

    #[test]
    fn serials_have_twenty_characters_of_the_alphabet() {
        assert_eq!(serial_from(&[0; 16]), "0".repeat(20));
        let serial = serial_from(&[0xff; 16]);
        assert_eq!(serial.len(), SERIAL_LEN);
        assert!(check_serial(&serial).is_ok());
    }

    #[test]
    fn debug_shows_no_serial() {
        let text = "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U";
        let shown = format!("{:?}", text.parse::<NationalIdentifier>().unwrap());
        assert!(!shown.contains("20230000403"), "{shown}");
    }

    proptest! {
        #[test]
        fn every_identifier_that_is_made_reads_back(serial in "[0-9A-Z]{1,32}", version in 1u16..=999) {
            let licence_type: TypeCode = "11100000000013338W011".parse().unwrap();
            let issuer: Uscc = "11410800MB18523953".parse().unwrap();
            let made = NationalIdentifier::new(&licence_type, &issuer, &serial, version).unwrap();
            prop_assert_eq!(made.to_string().parse::<NationalIdentifier>(), Ok(made));
        }

        #[test]
        fn a_changed_character_is_noticed(at in 0usize..55, to in "[0-9A-Z]") {
            let text = "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U";
            let at = "1.2.156.3005.2.".len() + at;
            prop_assume!(&text[at..=at] != "." && text[at..=at] != to);
            let mut changed = text.to_owned();
            changed.replace_range(at..=at, &to);
            prop_assert!(changed.parse::<NationalIdentifier>().is_err());
        }

        #[test]
        fn nothing_panics(text in ".{0,80}") {
            let _ = text.parse::<NationalIdentifier>();
            let _ = birth_date(&text);
            let _ = crate::date::parse(&text);
            let _ = crate::date::is_another_form(&text);
        }
    }
}
