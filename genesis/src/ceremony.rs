//! How provinces write a founding document together, and no private key leaves its owner.
//!
//! Somebody writes a [`Draft`]: the network's name, its founding time, its catalogue. Each
//! province reads it, makes its keys at home, and answers with a [`Part`]: public keys, peer id,
//! addresses, agencies. [`finish`] joins them and reports all conflicts, whoever runs it; then
//! each province holds the result against the parts of all: [`Part::missing_from`] says what it
//! says otherwise of a province, [`strangers`] whom it has that no part brought. The fingerprints
//! of the parts and the chain id are compared by another channel. The coordinator is not trusted
//! with anything: whatever they change, leave out or add, a province sees that has all parts. From
//! its own part alone it does not see who was added.

use std::fmt::Write as _;

use serde_json::json;
use symbolon_ledger::{
    catalogue::LicenceTypeRecord,
    codes::ProvinceCode,
    hash::{Digest, sha256},
};

use crate::{
    document::{self, Agency, Chain, Genesis, Province, ValidatorEntry},
    members::{self, At, Members},
    reader::{Fields, Problem, Reader},
    render,
};

/// What all provinces agree on before they join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The network.
    pub chain: Chain,
    /// The catalogue, ascending by code.
    pub licence_types: Vec<LicenceTypeRecord>,
}

impl Draft {
    /// Reads a draft.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, by line; never an empty list.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let reader = document::open(text)?;
        let table = reader.parse(text);
        let fields = Fields::new(&reader, &table, "the draft");
        let chain = fields.table("chain").and_then(|f| document::read_chain(&reader, f));
        let (licence_types, _) = document::read_types(&reader, &fields);
        fields.finish();
        let problems = reader.into_problems();
        match chain {
            Some(chain) if problems.is_empty() => Ok(Self { chain, licence_types }),
            _ => Err(problems),
        }
    }

    /// The draft as text, which parses back to the same value.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = "# The draft of a network: what all provinces agree on before they join.\n\
                       # Change it before it is sent out; afterwards every part names its digest.\n"
            .to_owned();
        render::chain(&mut out, &self.chain);
        for record in &self.licence_types {
            crate::catalogue::write(&mut out, record);
        }
        out
    }

    /// Names the draft in the parts: the chain id that it would have without any member.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let (chain, types) = (self.chain.clone(), self.licence_types.clone());
        Genesis::assemble(chain, types, Members::default()).chain_id()
    }
}

/// What one province brings: nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The draft that the province has read.
    pub draft: Digest,
    /// The province.
    pub province: Province,
    /// Its node; a province may begin without a vote.
    pub validator: Option<ValidatorEntry>,
    /// Its first agencies.
    pub agencies: Vec<Agency>,
}

impl Part {
    /// Reads a part.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, by line; never an empty list.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let (draft, members) = read_part(text, 0)?;
        let mut agencies: Vec<Agency> = members.agencies.into_iter().map(|(_, a)| a).collect();
        agencies.sort_by_key(|a| a.uscc);
        let validator = members.validators.into_iter().next().map(|(_, v)| v);
        let province = members.provinces.into_iter().next().map(|(_, p)| p);
        province.map(|province| Self { draft, province, validator, agencies }).ok_or_else(Vec::new)
    }

    /// The part as text, which parses back to the same value.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        writeln!(out, "# What {} brings to a network. Nothing in it is secret.", {
            &self.province.name_en
        })
        .and_then(|()| writeln!(out, "\n[part]\ndraft = {}", json!(self.draft.to_string())))
        .expect("a string takes any text");
        render::province(&mut out, &self.province);
        if let Some(validator) = &self.validator {
            render::validator(&mut out, validator);
        }
        self.agencies.iter().for_each(|a| render::agency(&mut out, a));
        out
    }

    /// What two people compare by another channel, to be sure that they hold the same part.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        sha256(self.to_toml().as_bytes())
    }

    /// What a founding document says otherwise of this province; nothing when it says the same.
    #[must_use]
    pub fn missing_from(&self, genesis: &Genesis) -> Vec<String> {
        let code = self.province.code;
        let mut missing = Vec::new();
        let draft =
            Draft { chain: genesis.chain.clone(), licence_types: genesis.licence_types.clone() };
        if draft.digest() != self.draft {
            missing
                .push("the chain's parameters or its catalogue are not those of the draft".into());
        }
        if !genesis.provinces.contains(&self.province) {
            missing.push(format!("the province {code} is missing or described otherwise"));
        }
        let validator = genesis.validators.iter().find(|v| v.province == code);
        if validator != self.validator.as_ref() {
            missing.push(format!("the validator of {code} is not the one that it brought"));
        }
        let theirs: Vec<&Agency> = genesis.agencies.iter().filter(|a| a.province == code).collect();
        if theirs != self.agencies.iter().collect::<Vec<_>>() {
            missing.push(format!("the agencies of {code} are not those that it brought"));
        }
        missing
    }
}

/// The members of a founding document that none of `parts` brought, each in words. A province that
/// does not know them would let them vote.
#[must_use]
pub fn strangers(genesis: &Genesis, parts: &[Part]) -> Vec<String> {
    let known = |code: ProvinceCode| parts.iter().any(|part| part.province.code == code);
    let mut strangers = Vec::new();
    for province in genesis.provinces.iter().filter(|p| !known(p.code)) {
        let votes = genesis.validators.iter().any(|v| v.province == province.code);
        let vote = if votes { "with a vote" } else { "without a vote" };
        let agencies = genesis.agencies.iter().filter(|a| a.province == province.code).count();
        let (code, name) = (province.code, &province.name_en);
        strangers.push(format!("the province {code} {name}, {vote}, agencies: {agencies}"));
    }
    strangers
}

/// Reads the part that is text number `file`: the draft that it names, and its members.
fn read_part(text: &str, file: usize) -> Result<(Digest, Members), Vec<Problem>> {
    let reader = document::open(text)?;
    let table = reader.parse(text);
    let fields = Fields::new(&reader, &table, "the part");
    let draft = fields.table("part").and_then(|f| {
        let draft = f.parsed("draft", "the draft's digest, from `symbolon genesis show`");
        f.finish();
        draft
    });
    let members = members::read(&reader, &fields, file);
    fields.finish();
    check_one_province(&reader, &members);
    let problems = reader.into_problems();
    match draft {
        Some(draft) if problems.is_empty() => Ok((draft, members)),
        _ => Err(problems),
    }
}

/// A part speaks for one province and for nobody else.
fn check_one_province(reader: &Reader, members: &Members) {
    let [(_, province)] = members.provinces.as_slice() else {
        if !members.incomplete {
            let what = format!("{} provinces in one part", members.provinces.len());
            reader.report(None, what, "a part has exactly one [[provinces]]");
        }
        return;
    };
    if members.validators.len() > 1 {
        reader.report(None, "two validators in one part", "keep one: each province has one vote");
    }
    let validators = members.validators.iter().map(|(at, v)| (at, v.province));
    for (at, code) in validators.chain(members.agencies.iter().map(|(at, a)| (at, a.province))) {
        if code != province.code {
            let what = format!("this is of province {code}, the part of {}", province.code);
            reader.report(Some(at.line), what, "a part speaks for its own province only");
        }
    }
}

/// Joins a draft and the parts of the provinces.
///
/// # Errors
///
/// Everything that is wrong with them or that contradicts, with the number of the text in which
/// it stands: 0 is the draft, 1 the first part. Never an empty list.
pub fn finish(draft: &str, parts: &[&str]) -> Result<Genesis, Vec<(usize, Problem)>> {
    let mut problems: Vec<(usize, Problem)> = Vec::new();
    let mut all = Members::default();
    let draft = Draft::parse(draft).map_err(|found| {
        problems.extend(found.into_iter().map(|problem| (0, problem)));
    });
    for (file, text) in (1..).zip(parts) {
        match read_part(text, file) {
            Ok((named, members)) => {
                if draft.as_ref().is_ok_and(|draft| draft.digest() != named) {
                    problems.push((file, wrong_draft(named)));
                }
                all.extend(members);
            }
            Err(found) => {
                all.incomplete = true;
                problems.extend(found.into_iter().map(|problem| (file, problem)));
            }
        }
    }
    let types = draft.as_ref().map_or(&[][..], |draft| &draft.licence_types);
    all.incomplete |= draft.is_err();
    members::check(&all, types, &mut |at: Option<At>, what, hint: &str| {
        let problem = Problem { line: at.map(|at| at.line), what, hint: hint.to_owned() };
        problems.push((at.map_or(0, |at| at.file), problem));
    });
    match draft {
        Ok(draft) if problems.is_empty() => {
            read_back(&Genesis::assemble(draft.chain, draft.licence_types, all))
        }
        _ => Err(problems),
    }
}

/// A document as whoever is sent it will read it: what is too long in all, for instance, is
/// refused here and not by every province.
fn read_back(genesis: &Genesis) -> Result<Genesis, Vec<(usize, Problem)>> {
    Genesis::parse(&genesis.to_toml()).map_err(|problems| {
        let of_the_whole = |problem: Problem| {
            let what = format!("the document of these parts could not be read: {}", problem.what);
            (0, Problem { line: None, what, hint: problem.hint })
        };
        problems.into_iter().map(of_the_whole).collect()
    })
}

fn wrong_draft(named: Digest) -> Problem {
    Problem {
        line: None,
        what: format!("this part was made for another draft, {named}"),
        hint: "send its province this draft, and let it run `symbolon genesis join` again".into(),
    }
}

#[cfg(test)]
#[path = "ceremony_tests.rs"]
mod tests;
