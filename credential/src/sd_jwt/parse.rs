//! Reading a presentation, from bytes that nobody vouches for to claims that an issuer signed.

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value};
use symbolon_ledger::{
    codes::{Origin, TypeCode, Uscc, cid},
    hash::{Cid, Digest, sha256},
    keys::{PublicKey, SIGNATURE_LEN, Signature},
};
use thiserror::Error;

use super::{
    ALGORITHM, DIGEST_ALGORITHM, MAX_DIGESTS, MAX_DISCLOSURE_LEN, MAX_DISCLOSURES, MAX_JWT_LEN,
    MAX_KEY_BINDING_LEN, MAX_PRESENTATION_LEN, RESERVED_NAMES, TYPE, digest,
};
use crate::encoding::{EncodingError, from_base64url, parse_json};

/// Why a text is not a presentation of a licence.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseError {
    /// More than is read.
    #[error("{what} is {actual}, more than the {limit} allowed")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        actual: usize,
        /// The bound.
        limit: usize,
    },
    /// No `~`, or text after the last `~` that is not a JWT.
    #[error("an SD-JWT is a JWT, then disclosures and perhaps a key-binding JWT, each after a ~")]
    Parts,
    /// A character that occurs neither in base64url nor as a separator.
    #[error("only base64url characters, dots and ~ may occur (no white space, no padding)")]
    Characters,
    /// The issuer-signed JWT is not three base64url parts of which the first two are objects.
    #[error("the issuer-signed JWT is malformed: {0}")]
    Jwt(EncodingError),
    /// The issuer-signed JWT does not have two dots.
    #[error("the issuer-signed JWT must have three parts")]
    JwtParts,
    /// `alg` is another one.
    #[error("the issuer-signed JWT must have alg {ALGORITHM}")]
    Algorithm,
    /// `typ` is another one.
    #[error("the issuer-signed JWT must have typ {TYPE}")]
    Type,
    /// A critical extension that is not understood.
    #[error("the issuer-signed JWT has critical header parameters")]
    Critical,
    /// A part of the header or payload is absent or not of the type that it must have.
    #[error("{0} is missing or malformed in the issuer-signed JWT")]
    Member(&'static str),
    /// `_sd` names a digest twice.
    #[error("the issuer-signed JWT names a digest twice in _sd")]
    RepeatedDigest,
    /// Digests below the top level, which no licence of this network has.
    #[error("the issuer-signed JWT has nested or array disclosures, which are not in this profile")]
    NestedDisclosure,
}

/// The issuer's signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the issuer's key did not sign this credential")]
pub struct SignatureError;

/// Why the disclosures are not what the issuer signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DisclosureError {
    /// The same disclosure twice.
    #[error("a disclosure occurs twice")]
    Repeated,
    /// Its digest is not in `_sd`: forged, altered, or of another licence.
    #[error("a disclosure is not among those that the issuer signed")]
    NotSigned,
    /// Signed, but not a salt, a name and a text.
    #[error("a disclosure is not a salt, a name and a text")]
    Malformed,
    /// Its name means something else in an SD-JWT VC, or is taken by another claim.
    #[error("a disclosure has a reserved name, or one that another claim has")]
    Name,
    /// The holder asked to show a claim that the credential does not have.
    #[error("the credential has no such claim to show")]
    NoSuchClaim,
}

/// The address that an issuer's keys are published under: `{origin}/a/{credit code}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerName {
    /// The province's origin.
    pub origin: Origin,
    /// The agency.
    pub agency: Uscc,
}

/// Where stock software finds the licence's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusReference {
    /// Address of the list.
    pub uri: String,
    /// Place in the list.
    pub index: u64,
}

/// A well-formed presentation. Nothing in it is believed yet: what it *claims* serves to find the
/// key and the records that it is then checked against.
#[derive(Clone, PartialEq, Eq)]
pub struct Parsed {
    jwt: String,
    inner: Digest,
    key_id: u32,
    payload: Payload,
    disclosures: Vec<String>,
    key_binding: Option<String>,
}

/// The part of the payload that this program reads.
#[derive(Clone, PartialEq, Eq)]
struct Payload {
    issuer: String,
    licence_type: String,
    not_before: Option<u64>,
    expires: Option<u64>,
    holder_key: Option<PublicKey>,
    status: Option<StatusReference>,
    digests: Vec<String>,
    open: BTreeMap<String, String>,
    /// Every member's name: no disclosure may repeat one.
    names: Vec<String>,
}

impl Parsed {
    /// Reads the text form. Nothing around it is trimmed.
    ///
    /// ```
    /// use symbolon_credential::sd_jwt::{ParseError, Parsed};
    /// assert_eq!(Parsed::parse("eyJhbGciOiJub25lIn0").unwrap_err(), ParseError::Parts);
    /// assert_eq!(Parsed::parse("a b~").unwrap_err(), ParseError::Characters);
    /// ```
    ///
    /// # Errors
    ///
    /// [`ParseError`]. The disclosures' contents and the signatures are not looked at here: they
    /// are judged, not merely malformed.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        bound("the presentation in bytes", text.len(), MAX_PRESENTATION_LEN)?;
        let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
        if !text.bytes().all(known) {
            return Err(ParseError::Characters);
        }
        let (jwt, rest) = text.split_once('~').ok_or(ParseError::Parts)?;
        bound("the issuer-signed JWT in bytes", jwt.len(), MAX_JWT_LEN)?;
        // Everything up to the last `~` is disclosures; what follows it is the key binding.
        let (disclosures, last) = rest.rsplit_once('~').unwrap_or(("", rest));
        let disclosures = read_disclosures(disclosures, rest.contains('~'))?;
        let (key_id, payload) = read_jwt(jwt)?;
        Ok(Self {
            jwt: jwt.to_owned(),
            inner: sha256(jwt.as_bytes()),
            key_id,
            payload,
            disclosures,
            key_binding: read_key_binding(last)?,
        })
    }

    /// SHA-256 of the issuer-signed JWT, as the issue transaction carries it.
    #[must_use]
    pub fn inner(&self) -> Digest {
        self.inner
    }

    /// The issuer that it claims, if `iss` has the form of one of this network.
    #[must_use]
    pub fn claimed_issuer(&self) -> Option<IssuerName> {
        let (origin, agency) = self.payload.issuer.rsplit_once("/a/")?;
        Some(IssuerName { origin: origin.parse().ok()?, agency: agency.parse().ok()? })
    }

    /// `iss`, as it stands.
    #[must_use]
    pub fn claimed_iss(&self) -> &str {
        &self.payload.issuer
    }

    /// `vct`, as it stands.
    #[must_use]
    pub fn claimed_vct(&self) -> &str {
        &self.payload.licence_type
    }

    /// The licence type and its version, if `vct` has the form of one of this network.
    #[must_use]
    pub fn claimed_type(&self) -> Option<(TypeCode, u32)> {
        let name = self.payload.licence_type.strip_prefix("urn:elic:")?;
        let (code, version) = name.rsplit_once(':')?;
        let number: u32 = version.parse().ok()?;
        let canonical = number.to_string() == version;
        canonical.then_some((code.parse().ok()?, number))
    }

    /// The name under which the ledger would have it, if it names an issuer of this network.
    #[must_use]
    pub fn claimed_cid(&self) -> Option<Cid> {
        self.claimed_issuer().map(|issuer| cid(&issuer.agency, &self.inner()))
    }

    /// Where stock software would look for its status.
    #[must_use]
    pub fn claimed_status(&self) -> Option<&StatusReference> {
        self.payload.status.as_ref()
    }

    /// `exp`, in seconds since 1970-01-01T00:00Z: the first at which it is not valid any more.
    #[must_use]
    pub fn claimed_expires(&self) -> Option<u64> {
        self.payload.expires
    }

    /// The number of the issuer's key.
    #[must_use]
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// The issuer-signed JWT and the disclosures, without a key binding; ends in `~`.
    #[must_use]
    pub fn sd_jwt(&self) -> String {
        let mut text = format!("{}~", self.jwt);
        for disclosure in &self.disclosures {
            text.push_str(disclosure);
            text.push('~');
        }
        text
    }

    /// The holder's key that it names. For the holder, who looks for the private half.
    #[must_use]
    pub fn claimed_holder_key(&self) -> Option<&PublicKey> {
        self.payload.holder_key.as_ref()
    }

    /// Names of the claims that this text can show: those that stand open, then its disclosures in
    /// their order. For the holder, who chooses among them; nothing is checked.
    ///
    /// # Errors
    ///
    /// [`DisclosureError::Malformed`], when a disclosure is none.
    pub fn claimed_names(&self) -> Result<Vec<String>, DisclosureError> {
        let mut names: Vec<String> = self.payload.open.keys().cloned().collect();
        for disclosure in &self.disclosures {
            names.push(read_disclosure(disclosure)?.0);
        }
        Ok(names)
    }

    /// Names of the claims that stand open: whoever gets this text reads them, whatever else is
    /// shown. Nothing is checked.
    pub fn claimed_open_names(&self) -> impl Iterator<Item = &str> {
        self.payload.open.keys().map(String::as_str)
    }

    /// The key-binding JWT, unchecked.
    #[must_use]
    pub fn key_binding_jwt(&self) -> Option<&str> {
        self.key_binding.as_deref()
    }

    /// Checks the issuer's signature.
    ///
    /// # Errors
    ///
    /// [`SignatureError`], also when the signature part is not 64 bytes of base64url.
    pub fn check_signature(&self, key: &PublicKey) -> Result<SignatureChecked<'_>, SignatureError> {
        let (input, signature) = self.jwt.rsplit_once('.').ok_or(SignatureError)?;
        let bytes = from_base64url(signature).map_err(|_| SignatureError)?;
        let bytes: [u8; SIGNATURE_LEN] = bytes.try_into().map_err(|_| SignatureError)?;
        key.verify(input.as_bytes(), &Signature(bytes)).map_err(|_| SignatureError)?;
        Ok(SignatureChecked(self))
    }

    /// This, of which it is known that the issuer's key signed it.
    pub(super) fn held(&self) -> SignatureChecked<'_> {
        SignatureChecked(self)
    }

    /// The presentation with only the disclosures of the claims named in `show`, and without a
    /// key binding. For the holder, who trusts the credential in hand.
    ///
    /// # Errors
    ///
    /// [`DisclosureError::NoSuchClaim`], or another when the credential itself is faulty.
    pub fn present(&self, show: &[&str]) -> Result<String, DisclosureError> {
        let mut shown = Self { key_binding: None, disclosures: Vec::new(), ..self.clone() };
        let mut missing: Vec<&str> =
            show.iter().copied().filter(|n| !self.payload.open.contains_key(*n)).collect();
        for disclosure in &self.disclosures {
            let (name, _) = read_disclosure(disclosure)?;
            if show.contains(&name.as_str()) {
                missing.retain(|n| *n != name);
                shown.disclosures.push(disclosure.clone());
            }
        }
        if missing.is_empty() { Ok(shown.sd_jwt()) } else { Err(DisclosureError::NoSuchClaim) }
    }
}

impl fmt::Debug for Parsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.disclosures.len();
        write!(f, "Parsed({}, {shown} disclosures)", self.inner())
    }
}

/// A presentation whose issuer-signed JWT was signed by the key that it was checked with.
#[derive(Debug, Clone, Copy)]
pub struct SignatureChecked<'p>(&'p Parsed);

impl<'p> SignatureChecked<'p> {
    /// The presentation.
    #[must_use]
    pub fn parsed(&self) -> &'p Parsed {
        self.0
    }

    /// `nbf`, in seconds since 1970-01-01T00:00Z: the first at which the licence is valid.
    #[must_use]
    pub fn not_before(&self) -> Option<u64> {
        self.0.payload.not_before
    }

    /// `exp`: the first second at which the licence is no longer valid; `None` for no expiry.
    #[must_use]
    pub fn expires(&self) -> Option<u64> {
        self.0.payload.expires
    }

    /// The holder's key; `None` for a paper licence.
    #[must_use]
    pub fn holder_key(&self) -> Option<&'p PublicKey> {
        self.0.payload.holder_key.as_ref()
    }

    /// Where stock software finds its status.
    #[must_use]
    pub fn status(&self) -> Option<&'p StatusReference> {
        self.0.payload.status.as_ref()
    }

    /// Checks every disclosure against the digests that the issuer signed.
    ///
    /// The digest is compared before the content is read, so nothing unsigned is ever decoded.
    ///
    /// # Errors
    ///
    /// [`DisclosureError`].
    pub fn disclose(&self) -> Result<Disclosed, DisclosureError> {
        let payload = &self.0.payload;
        let mut claims = payload.open.clone();
        for (at, disclosure) in self.0.disclosures.iter().enumerate() {
            if self.0.disclosures[..at].contains(disclosure) {
                return Err(DisclosureError::Repeated);
            }
            if payload.digests.binary_search(&digest(disclosure)).is_err() {
                return Err(DisclosureError::NotSigned);
            }
            let (name, value) = read_disclosure(disclosure)?;
            let taken = RESERVED_NAMES.contains(&name.as_str())
                || payload.names.contains(&name)
                || claims.contains_key(&name);
            if taken {
                return Err(DisclosureError::Name);
            }
            claims.insert(name, value);
        }
        Ok(Disclosed { claims, withheld: payload.digests.len() - self.0.disclosures.len() })
    }
}

/// Claims that the issuer signed and the holder showed.
#[derive(Clone, PartialEq, Eq)]
pub struct Disclosed {
    claims: BTreeMap<String, String>,
    withheld: usize,
}

impl Disclosed {
    /// Every claim shown, by key.
    #[must_use]
    pub fn claims(&self) -> &BTreeMap<String, String> {
        &self.claims
    }

    /// How many digests have no disclosure here: claims withheld, and decoys.
    #[must_use]
    pub fn withheld(&self) -> usize {
        self.withheld
    }
}

impl fmt::Debug for Disclosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&String> = self.claims.keys().collect();
        write!(f, "Disclosed({keys:?}, {} withheld)", self.withheld)
    }
}

fn bound(what: &'static str, actual: usize, limit: usize) -> Result<(), ParseError> {
    if actual > limit {
        return Err(ParseError::TooLarge { what, actual, limit });
    }
    Ok(())
}

fn read_disclosures(text: &str, any: bool) -> Result<Vec<String>, ParseError> {
    if !any {
        return Ok(Vec::new());
    }
    bound("the number of disclosures", text.split('~').count(), MAX_DISCLOSURES)?;
    let read = |part: &str| {
        bound("a disclosure in bytes", part.len(), MAX_DISCLOSURE_LEN)?;
        if part.is_empty() || part.contains('.') {
            return Err(ParseError::Parts);
        }
        Ok(part.to_owned())
    };
    text.split('~').map(read).collect()
}

fn read_key_binding(text: &str) -> Result<Option<String>, ParseError> {
    if text.is_empty() {
        return Ok(None);
    }
    bound("the key-binding JWT in bytes", text.len(), MAX_KEY_BINDING_LEN)?;
    // A disclosure without the final `~` would be taken for one otherwise.
    if text.split('.').count() != 3 {
        return Err(ParseError::Parts);
    }
    Ok(Some(text.to_owned()))
}

fn read_jwt(jwt: &str) -> Result<(u32, Payload), ParseError> {
    let parts: Vec<&str> = jwt.split('.').collect();
    let [header, payload, _signature] = parts.as_slice() else {
        return Err(ParseError::JwtParts);
    };
    let header = json_object(header).map_err(ParseError::Jwt)?;
    if text_of(&header, "alg") != Some(ALGORITHM) {
        return Err(ParseError::Algorithm);
    }
    if text_of(&header, "typ") != Some(TYPE) {
        return Err(ParseError::Type);
    }
    if header.contains_key("crit") {
        return Err(ParseError::Critical);
    }
    let kid = text_of(&header, "kid").ok_or(ParseError::Member("kid"))?;
    let key_id = kid.parse::<u32>().ok().filter(|id| id.to_string() == kid);
    let payload = json_object(payload).map_err(ParseError::Jwt)?;
    Ok((key_id.ok_or(ParseError::Member("kid"))?, read_payload(payload)?))
}

/// A base64url part that is a JSON object.
pub(crate) fn json_object(part: &str) -> Result<Map<String, Value>, EncodingError> {
    match parse_json(&from_base64url(part)?)? {
        Value::Object(map) => Ok(map),
        _ => Err(EncodingError::Json("not an object".to_owned())),
    }
}

/// The text member `name`.
pub(crate) fn text_of<'m>(map: &'m Map<String, Value>, name: &str) -> Option<&'m str> {
    map.get(name).and_then(Value::as_str)
}

fn read_payload(map: Map<String, Value>) -> Result<Payload, ParseError> {
    let text = |name| text_of(&map, name).map(str::to_owned).ok_or(ParseError::Member(name));
    let time = |name| match map.get(name) {
        None => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or(ParseError::Member(name)),
    };
    match map.get("_sd_alg") {
        None => {}
        Some(alg) if alg == DIGEST_ALGORITHM => {}
        Some(_) => return Err(ParseError::Member("_sd_alg")),
    }
    if map.contains_key("...") || map.iter().any(|(k, v)| k != "_sd" && has_digests(v)) {
        return Err(ParseError::NestedDisclosure);
    }
    Ok(Payload {
        issuer: text("iss")?,
        licence_type: text("vct")?,
        not_before: time("nbf")?,
        expires: time("exp")?,
        holder_key: map.get("cnf").map(read_holder_key).transpose()?,
        status: map.get("status").map(read_status).transpose()?,
        digests: read_digests(map.get("_sd"))?,
        names: map.keys().cloned().collect(),
        open: map.into_iter().filter_map(open_claim).collect(),
    })
}

fn open_claim((name, value): (String, Value)) -> Option<(String, String)> {
    match value {
        Value::String(text) if !RESERVED_NAMES.contains(&name.as_str()) => Some((name, text)),
        _ => None,
    }
}

/// Whether `_sd` or `...` occurs anywhere in `value`.
fn has_digests(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.iter().any(|(k, v)| k == "_sd" || k == "..." || has_digests(v)),
        Value::Array(items) => items.iter().any(has_digests),
        _ => false,
    }
}

/// The digests of `_sd`, sorted.
fn read_digests(value: Option<&Value>) -> Result<Vec<String>, ParseError> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let items = value.as_array().ok_or(ParseError::Member("_sd"))?;
    bound("the number of digests", items.len(), MAX_DIGESTS)?;
    let text = |item: &Value| item.as_str().map(str::to_owned).ok_or(ParseError::Member("_sd"));
    let mut digests = items.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    digests.sort_unstable();
    if digests.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(ParseError::RepeatedDigest);
    }
    Ok(digests)
}

fn read_holder_key(cnf: &Value) -> Result<PublicKey, ParseError> {
    let jwk = &cnf["jwk"];
    let is = |name: &str, value: &str| jwk[name].as_str() == Some(value);
    if !is("kty", "OKP") || !is("crv", ALGORITHM) || jwk.get("d").is_some() {
        return Err(ParseError::Member("cnf"));
    }
    let bytes = jwk["x"].as_str().and_then(|x| from_base64url(x).ok());
    let key = bytes.and_then(|b| PublicKey::from_bytes(&b).ok());
    key.ok_or(ParseError::Member("cnf"))
}

fn read_status(status: &Value) -> Result<StatusReference, ParseError> {
    let list = &status["status_list"];
    match (list["uri"].as_str(), list["idx"].as_u64()) {
        (Some(uri), Some(index)) => Ok(StatusReference { uri: uri.to_owned(), index }),
        _ => Err(ParseError::Member("status")),
    }
}

/// Name and value of a disclosure.
fn read_disclosure(disclosure: &str) -> Result<(String, String), DisclosureError> {
    let bytes = from_base64url(disclosure).map_err(|_| DisclosureError::Malformed)?;
    match parse_json(&bytes).map_err(|_| DisclosureError::Malformed)? {
        Value::Array(items) => match <[Value; 3]>::try_from(items) {
            Ok([Value::String(_), Value::String(name), Value::String(value)]) => Ok((name, value)),
            _ => Err(DisclosureError::Malformed),
        },
        _ => Err(DisclosureError::Malformed),
    }
}
