//! Writes a founding document as the TOML that [`Genesis::parse`] reads.

use std::fmt::{self, Write as _};

use jiff::Timestamp;
use serde_json::json;
use symbolon_ledger::codes::TypeCode;

use crate::{
    catalogue,
    document::{Agency, Chain, Genesis, Province, Scope, ValidatorEntry},
};

impl Genesis {
    /// The document as text, which parses back to the same value.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        line(&mut out, format_args!("# The founding document of this network. Its chain id is"));
        line(&mut out, format_args!("# {}", self.chain_id()));
        chain(&mut out, &self.chain);
        self.provinces.iter().for_each(|p| province(&mut out, p));
        self.validators.iter().for_each(|v| validator(&mut out, v));
        self.agencies.iter().for_each(|a| agency(&mut out, a));
        self.licence_types.iter().for_each(|t| catalogue::write(&mut out, t));
        out
    }
}

fn line(out: &mut String, text: fmt::Arguments<'_>) {
    out.write_fmt(text).and_then(|()| out.write_char('\n')).expect("a string takes any text");
}

/// An instant as RFC 3339 text.
pub(crate) fn time_text(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).map_or_else(|_| format!("{unix_ms} ms"), |t| t.to_string())
}

pub(crate) fn chain(out: &mut String, chain: &Chain) {
    line(out, format_args!("\n[chain]"));
    line(out, format_args!("name = {}", json!(chain.name.as_str())));
    line(out, format_args!("genesis_time = {}", json!(time_text(chain.genesis_time_ms))));
    line(out, format_args!("idle_block_interval_ms = {}", chain.idle_block_interval_ms));
    line(out, format_args!("max_staleness_ms = {}", chain.max_staleness_ms));
    line(out, format_args!("bundle_max_age_ms = {}", chain.bundle_max_age_ms));
}

pub(crate) fn province(out: &mut String, province: &Province) {
    line(out, format_args!("\n[[provinces]]"));
    line(out, format_args!("code = {}", json!(province.code.as_str())));
    line(out, format_args!("name_zh = {}", json!(province.name_zh.as_str())));
    line(out, format_args!("name_en = {}", json!(province.name_en.as_str())));
    line(out, format_args!("issuer_origin = {}", json!(province.issuer_origin.as_str())));
    line(out, format_args!("authority_key = \"{}\"", province.authority_key));
    line(out, format_args!("verified = {}", province.verified));
    line(out, format_args!("source = {}", json!(province.source.as_str())));
    if let Some(key) = province.status_key {
        line(out, format_args!("status_key = \"{key}\""));
    }
}

pub(crate) fn validator(out: &mut String, validator: &ValidatorEntry) {
    line(out, format_args!("\n[[validators]]"));
    line(out, format_args!("province = \"{}\"", validator.province));
    line(out, format_args!("key = \"{}\"", validator.key));
    line(out, format_args!("peer_id = \"{}\"", validator.peer_id));
    line(out, format_args!("addresses = {}", json!(validator.addresses)));
}

pub(crate) fn agency(out: &mut String, agency: &Agency) {
    line(out, format_args!("\n[[agencies]]"));
    line(out, format_args!("uscc = \"{}\"", agency.uscc));
    line(out, format_args!("name = {}", json!(agency.name.as_str())));
    line(out, format_args!("province = \"{}\"", agency.province));
    let scope = match &agency.scope {
        Scope::All => json!("all"),
        Scope::Types(types) => json!(types.iter().map(TypeCode::as_str).collect::<Vec<_>>()),
    };
    line(out, format_args!("scope = {scope}"));
    line(out, format_args!("transaction_key = \"{}\"", agency.transaction_key));
    line(out, format_args!("credential_key = \"{}\"", agency.credential_key));
}
