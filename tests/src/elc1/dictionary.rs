//! How dictionary 1 of ELC1 was made: the fixed parts of every catalogue entry, and common words.
//!
//! DEFLATE names what it has seen by distance, and a near match costs fewer bits. So the parts
//! stand in the order of how often a presentation needs them, the most frequent last:
//!
//! 1. words of addresses, firms, authorities and business scopes (`words.txt`);
//! 2. host names of the provinces;
//! 3. one disclosure of every claim, with its usual values, those shown by default last;
//! 4. every `vct`, and the issuers of a development network;
//! 5. a whole presentation of level A without its random parts.
//!
//! Dictionary 1 is frozen with the format: this shows where the file
//! `credential/src/elc1/dictionary-1.bin` comes from, and would be the start of a dictionary 2. A
//! catalogue that has changed since gives other bytes here, and that is no fault: new entries are
//! carried by dictionary 1 too, in somewhat larger codes.

use std::{collections::BTreeMap, fmt::Write as _};

use symbolon_genesis::presets::{catalogue, devnet_provinces, devnet_uscc, provinces};
use symbolon_ledger::catalogue::{ClaimSpec, ClaimType, Disclosure, LicenceTypeRecord};

const WORDS: &str = include_str!("words.txt");

/// Usual values of text claims, rare ones first. Taken from the standards and forms of these
/// licences; a claim that is not here has none worth a place.
const VALUES: [(&str, &[&str]); 14] = [
    ("certificate_number", &["（202）市不动产证明第0", "（202）市不动产权第0", "建安A（202"]),
    ("company_type", &["有限责任公司"]),
    ("registered_capital", &["1000万元人民币"]),
    ("ethnicity", &["汉"]),
    ("nationality", &["中国"]),
    ("co_ownership", &["按份共有", "共同共有", "单独所有"]),
    (
        "right_type",
        &[
            "国有建设用地使用权",
            "宅基地使用权/房屋所有权",
            "集体建设用地使用权/房屋所有权",
            "国有建设用地使用权/房屋所有权",
        ],
    ),
    (
        "use",
        &[
            "工业用地/厂房",
            "商业用地/办公",
            "商服用地/商业服务",
            "城镇住宅用地/成套住宅",
            "城镇住宅用地/住宅",
        ],
    ),
    ("area", &["宗地面积/房屋建筑面积", "共有宗地面积平方米/房屋建筑面积平方米"]),
    ("term", &["年月日起至年月日止", "国有建设用地使用权 年 月 日起 年 月 日止"]),
    (
        "matter",
        &[
            "地役权",
            "居住权",
            "异议登记",
            "预售商品房抵押权预告登记",
            "预售商品房买卖预告登记",
            "抵押权",
        ],
    ),
    (
        "specialty",
        &["矿业工程", "水利水电工程", "公路工程", "机电工程", "市政公用工程", "建筑工程"],
    ),
    (
        "operation_class",
        &[
            "建筑起重机械安装拆卸工（施工升降机）",
            "建筑起重机械安装拆卸工（塔式起重机）",
            "建筑起重机械司机（物料提升机）",
            "建筑起重机械司机（施工升降机）",
            "建筑起重机械司机（塔式起重机）",
            "建筑起重信号司索工",
            "高处作业吊篮安装拆卸工",
            "建筑架子工（附着升降脚手架）",
            "建筑架子工（普通脚手架）",
            "建筑电工",
        ],
    ),
    (
        "relation",
        &[
            "孙女", "孙子", "父亲", "母亲", "之", "次女", "次子", "长女", "长子", "女", "子", "妻",
            "户主",
        ],
    ),
];

/// The claims that nearly every licence shows, which stand in the closing presentation.
const IN_ALMOST_ALL: [&str; 2] = ["name", "valid_until"];
/// Digests in the closing presentation: as many as a usual licence has.
const DIGESTS: usize = 12;
/// Stands for what goes to the side.
const MARK: char = '\u{1}';

/// The bytes of the dictionary, of today's presets.
///
/// # Panics
///
/// Never: writing to a string cannot fail.
#[must_use]
pub fn dictionary() -> Vec<u8> {
    let catalogue = catalogue();
    let mut out: String = WORDS.split_whitespace().collect();
    hosts(&mut out);
    disclosures(&mut out, &catalogue);
    issuers(&mut out, &catalogue);
    presentation(&mut out);
    out.into_bytes()
}

/// 2. First labels of host names.
fn hosts(out: &mut String) {
    let near: Vec<String> = devnet_provinces(4).into_iter().map(|p| p.slug).collect();
    for province in provinces().iter().rev().filter(|p| !near.contains(&p.slug)) {
        out.push_str(&province.slug);
    }
    out.push_str(".gov.cn/a/11");
}

/// 3. A disclosure of every claim.
fn disclosures(out: &mut String, catalogue: &[LicenceTypeRecord]) {
    out.push_str(r#","name":""#);
    let open = |c: &&ClaimSpec| c.disclosure == Disclosure::Always;
    for claim in catalogue.iter().flat_map(|t| &t.claims).filter(open) {
        write!(out, r#""}},"{}":""#, claim.key).expect("a string takes any text");
    }
    writeln!(out, r#"[{MARK},"zzbs","1.2.156.3005.2.111"]"#).expect("a string takes any text");
    let mut claims: BTreeMap<&str, Vec<&ClaimSpec>> = BTreeMap::new();
    let mut order: Vec<&str> = Vec::new();
    for claim in catalogue.iter().flat_map(|t| &t.claims).filter(|c| !open(c)) {
        let key = claim.key.as_str();
        if !claims.contains_key(key) {
            order.push(key);
        }
        claims.entry(key).or_default().push(claim);
    }
    let by_default = |key: &str| {
        catalogue.iter().any(|t| t.default_disclosure.iter().any(|d| d.as_str() == key))
    };
    // Stable: claims that occur equally often stay in the catalogue's order.
    order.sort_by_key(|key| (by_default(key), claims[key].len()));
    for key in order.into_iter().filter(|key| !IN_ALMOST_ALL.contains(key)) {
        out.push_str(&disclosed(key, &claims[key]));
    }
}

/// The disclosures of one claim with its usual values.
fn disclosed(key: &str, specs: &[&ClaimSpec]) -> String {
    let mut values: Vec<&str> = Vec::new();
    for spec in specs {
        match &spec.value {
            ClaimType::Choice { of } => {
                for choice in of.iter().map(|label| label.as_str()) {
                    if !values.contains(&choice) {
                        values.push(choice);
                    }
                }
            }
            ClaimType::EndDate => values = vec!["长期", "20"],
            ClaimType::Date if key.contains("birth") => values = vec!["19"],
            ClaimType::Date => values = vec!["20"],
            _ => {}
        }
    }
    if let Some((_, usual)) = VALUES.iter().find(|(name, _)| *name == key) {
        values = usual.to_vec();
    }
    if values.is_empty() {
        values.push("");
    }
    values.iter().map(|value| format!("[{MARK},\"{key}\",\"{value}\"]\n")).collect()
}

/// 4. Types and issuers.
fn issuers(out: &mut String, catalogue: &[LicenceTypeRecord]) {
    let (local, national): (Vec<_>, Vec<_>) = catalogue.iter().partition(|t| t.code.is_local());
    for licence_type in national.into_iter().chain(local) {
        write!(out, r#"{}","nbf":1"#, licence_type.vct()).expect("a string takes any text");
    }
    let guangdong = |p: &&symbolon_genesis::presets::ListedProvince| p.code.as_str() == "44";
    for province in devnet_provinces(4).iter().rev().filter(|p| !guangdong(p)) {
        let uscc = devnet_uscc(province.code);
        write!(out, "//{}.province.example/a/{}", province.slug, &uscc.as_str()[..17])
            .expect("a string takes any text");
    }
}

/// 5. A whole presentation.
fn presentation(out: &mut String) {
    let digests = vec![MARK.to_string(); DIGESTS].join(",");
    out.push_str(r#"{"alg":"Ed25519","typ":"dc+sd-jwt","kid":"0"}"#);
    out.push_str("\n{\"iss\":\"https://guangdong.province.example/a/11449999MB0000044\",");
    out.push_str(r#""vct":"urn:elic:local:driving-licence:1","nbf":1757600,"exp":1857600,"#);
    write!(out, r#""cnf":{{"jwk":{{"kty":"OKP","crv":"Ed25519","x":{MARK}}}}},"#)
        .expect("a string takes any text");
    out.push_str(r#""status":{"status_list":{"idx":1,"uri":"https://guangdong.province.example"#);
    writeln!(out, r#"/status-lists/44/0"}}}},"_sd_alg":"sha-256","_sd":[{digests}]}}"#)
        .expect("a string takes any text");
    writeln!(out, r#"[{MARK},"name",""]"#).expect("a string takes any text");
    writeln!(out, r#"[{MARK},"valid_until","长期"]"#).expect("a string takes any text");
    writeln!(out, r#"[{MARK},"valid_until","20"]"#).expect("a string takes any text");
    out.push_str("{\"alg\":\"Ed25519\",\"typ\":\"kb+jwt\"}\n");
    writeln!(out, r#"{{"iat":179,"aud":"urn:elic:qr","nonce":{MARK},"sd_hash":{MARK}}}"#)
        .expect("a string takes any text");
}
