//! A credential of any catalogue entry, with values as long and as varied as real ones, and the
//! keys to present it. Synthetic: identity numbers are of the unassigned region 449999.

use std::collections::BTreeMap;

use symbolon_credential::{
    claims::validate,
    date,
    identifier::{NationalIdentifier, birth_date, serial_from},
    sd_jwt::{Issue, Issued, KeyBinding, Parsed, SELF_PRESENTED, bind, disclosure_count, issue},
};
use symbolon_genesis::presets::{ListedProvince, devnet_uscc, provinces};
use symbolon_ledger::{
    catalogue::{ClaimRole, ClaimSpec, ClaimType, LicenceTypeRecord},
    codes::{CodeError, Origin, Uscc},
    keys::SecretKey,
};

use crate::sim::dice::Dice;

/// Seconds since 1970 of the presentations made here: 2026-11-23.
const NOW: u64 = 1_795_406_400;

/// A credential and the keys around it.
#[derive(Debug)]
pub struct Sample {
    /// Its catalogue entry.
    pub licence_type: LicenceTypeRecord,
    /// The credential, with all its disclosures.
    pub issued: Issued,
    /// The key that signed it.
    pub issuer: SecretKey,
    /// The holder's key; `None` for a paper licence.
    pub holder: Option<SecretKey>,
}

impl Sample {
    /// A credential of `licence_type`; equal dice make equal ones.
    ///
    /// # Panics
    ///
    /// When the catalogue has a claim that no value made here fits.
    #[must_use]
    pub fn new(licence_type: &LicenceTypeRecord, with_holder: bool, dice: &mut Dice) -> Self {
        let given = values(licence_type, dice);
        let claims = validate(licence_type, &given).expect("values of this file are valid");
        let all = provinces();
        let province = &all[dice.index(all.len())];
        let (origin, agency) = (origin(province), devnet_uscc(province.code));
        let serial = serial_from(&bytes(dice));
        let identifier = NationalIdentifier::new(&licence_type.code, &agency, &serial, 1).ok();
        let (issuer, holder) = (key(dice), with_holder.then(|| key(dice)));
        let holder_key = holder.as_ref().map(SecretKey::public_key);
        let count = disclosure_count(licence_type, &claims, identifier.is_some());
        let salts: Vec<[u8; 16]> = (0..count).map(|_| bytes(dice)).collect();
        let licence = Issue {
            origin: &origin,
            agency: &agency,
            key_id: u32::try_from(dice.below(4)).expect("below 4"),
            licence_type,
            claims: &claims,
            identifier: identifier.as_ref(),
            status_province: &province.code,
            status_slot: u32::try_from(dice.below(1 << 24)).expect("below 2^24"),
            holder_key: holder_key.as_ref(),
            issued_on: date::parse("2026-11-23").expect("a date"),
        };
        let issued = issue(&licence, &salts, &issuer).expect("the credential is of usual size");
        Self { licence_type: licence_type.clone(), issued, issuer, holder }
    }

    /// The presentation of the claims that the catalogue shows by default.
    #[must_use]
    pub fn defaults(&self, dice: &mut Dice) -> String {
        let keys = self.licence_type.shown_by_default().map(|claim| claim.key.as_str());
        let shown: Vec<&str> = keys.filter(|key| self.holds(key)).collect();
        self.present(&shown, dice)
    }

    /// The presentation of every claim.
    #[must_use]
    pub fn everything(&self, dice: &mut Dice) -> String {
        self.bound(&self.issued.text, dice)
    }

    /// The presentation of `shown`: bound to the holder now, if the credential names one.
    ///
    /// # Panics
    ///
    /// When the credential has no such claim.
    #[must_use]
    pub fn present(&self, shown: &[&str], dice: &mut Dice) -> String {
        let parsed = Parsed::parse(&self.issued.text).expect("a credential just made");
        self.bound(&parsed.present(shown).expect("the claims are there"), dice)
    }

    /// Whether the credential has the claim `key`.
    ///
    /// # Panics
    ///
    /// Never: the credential was just made.
    #[must_use]
    pub fn holds(&self, key: &str) -> bool {
        let parsed = Parsed::parse(&self.issued.text).expect("a credential just made");
        parsed.present(&[key]).is_ok()
    }

    fn bound(&self, text: &str, dice: &mut Dice) -> String {
        let Some(holder) = &self.holder else { return text.to_owned() };
        let binding = KeyBinding {
            audience: SELF_PRESENTED.to_owned(),
            nonce: symbolon_credential::encoding::to_base64url(&bytes::<16>(dice)),
            issued_at: NOW + dice.below(100_000_000),
        };
        bind(text, &binding, holder)
    }
}

fn bytes<const N: usize>(dice: &mut Dice) -> [u8; N] {
    std::array::from_fn(|_| dice.roll().to_le_bytes()[0])
}

fn key(dice: &mut Dice) -> SecretKey {
    SecretKey::from_seed(&bytes(dice))
}

fn origin(province: &ListedProvince) -> Origin {
    let text = format!("https://{}.province.example", province.slug);
    text.parse().expect("a slug is a label of a host name")
}

/// A value for every claim, and for most of the optional ones.
fn values(licence_type: &LicenceTypeRecord, dice: &mut Dice) -> BTreeMap<String, String> {
    let born = day(dice, 1955, 2005);
    let mut given = BTreeMap::new();
    for claim in &licence_type.claims {
        if !claim.mandatory && dice.chance(20) {
            continue;
        }
        given.insert(claim.key.to_string(), value(licence_type, claim, &born, dice));
    }
    given
}

fn value(of: &LicenceTypeRecord, claim: &ClaimSpec, born: &str, dice: &mut Dice) -> String {
    match &claim.value {
        ClaimType::Date => match claim.role {
            Some(ClaimRole::BirthDate) => born.to_owned(),
            Some(ClaimRole::ValidFrom) => day(dice, 2018, 2026),
            _ => day(dice, 2008, 2026),
        },
        ClaimType::EndDate if dice.chance(25) => date::NO_EXPIRY.to_owned(),
        ClaimType::EndDate => day(dice, 2027, 2046),
        ClaimType::Choice { of } => of[dice.index(of.len())].to_string(),
        ClaimType::Classes { of } => {
            let first = dice.index(of.len());
            let second = &of[(first + 1) % of.len()];
            if dice.chance(70) { of[first].to_string() } else { format!("{}{second}", of[first]) }
        }
        ClaimType::Uscc => firm_code(dice).to_string(),
        ClaimType::ResidentId => match claim.role {
            Some(ClaimRole::HolderNumber) => resident_number(born, dice),
            _ => resident_number(&day(dice, 1955, 2005), dice),
        },
        ClaimType::Text { max } => {
            let text = text(of, claim.key.as_str(), dice);
            text.chars().take(usize::try_from(*max).unwrap_or(usize::MAX)).collect()
        }
    }
}

fn one<'a>(list: &[&'a str], dice: &mut Dice) -> &'a str {
    list[dice.index(list.len())]
}

fn day(dice: &mut Dice, from: u64, to: u64) -> String {
    let (y, m, d) = (dice.between(from, to), dice.between(1, 12), dice.between(1, 28));
    format!("{y:04}-{m:02}-{d:02}")
}

fn digits(count: usize, dice: &mut Dice) -> String {
    (0..count).map(|_| char::from(b"0123456789"[dice.index(10)])).collect()
}

fn resident_number(born: &str, dice: &mut Dice) -> String {
    let body = format!("449999{}{}", born.replace('-', ""), digits(3, dice));
    let with = |check| format!("{body}{check}");
    let found = "0123456789X".chars().map(with).find(|number| birth_date(number).is_ok());
    found.expect("one of eleven check characters fits")
}

fn firm_code(dice: &mut Dice) -> Uscc {
    let body = format!("91449999MA{}", digits(7, dice));
    match format!("{body}0").parse::<Uscc>() {
        Ok(code) => code,
        Err(CodeError::UsccCheck { expected }) => {
            format!("{body}{expected}").parse().expect("the check character was just computed")
        }
        Err(e) => unreachable!("digits and letters of the right form: {e}"),
    }
}

fn person(dice: &mut Dice) -> String {
    const FAMILY: [&str; 24] = [
        "王",
        "李",
        "张",
        "刘",
        "陈",
        "杨",
        "赵",
        "黄",
        "周",
        "吴",
        "徐",
        "孙",
        "胡",
        "朱",
        "高",
        "欧阳",
        "司徒",
        "阿依古丽·",
        "孟",
        "石",
        "侯",
        "陆",
        "熊",
        "翟",
    ];
    const GIVEN: [&str; 24] = [
        "伟",
        "芳",
        "娜",
        "敏",
        "静",
        "强",
        "磊",
        "洋",
        "艳",
        "勇",
        "杰",
        "娟",
        "涛",
        "超",
        "霞",
        "琼",
        "馥",
        "勤",
        "宜枝",
        "艺",
        "梓涵",
        "雨泽",
        "买买提",
        "秀",
    ];
    format!("{}{}{}", one(&FAMILY, dice), one(&GIVEN, dice), one(&GIVEN, dice))
}

fn address(dice: &mut Dice) -> String {
    const PLACES: [&str; 12] = [
        "广东省深圳市南山区",
        "广东省佛山市禅城区",
        "四川省成都市武侯区",
        "北京市海淀区",
        "上海市浦东新区",
        "江苏省苏州市昆山市",
        "浙江省杭州市西湖区",
        "湖南省长沙市岳麓区",
        "陕西省西安市雁塔区",
        "云南省大理白族自治州大理市",
        "新疆维吾尔自治区喀什地区疏附县",
        "甘肃省陇南市武都区",
    ];
    const STREETS: [&str; 8] = [
        "文明里",
        "建设四马路",
        "天府一街",
        "科苑路",
        "环市东路",
        "长江西路",
        "龙井巷",
        "学院南路",
    ];
    let (number, building) = (dice.between(1, 400), dice.between(1, 30));
    let room = dice.between(101, 3_299);
    format!("{}{}{number}号{building}栋{room}房", one(&PLACES, dice), one(&STREETS, dice))
}

fn firm(dice: &mut Dice) -> String {
    const PLACES: [&str; 6] = ["深圳", "珠江", "成都", "湖南", "广州", "昆山"];
    const NAMES: [&str; 6] = ["启明", "海纳", "正弘", "蓝岸", "路通", "永丰源"];
    const TRADES: [&str; 6] =
        ["餐饮管理", "物流", "路桥工程", "建筑工程", "信息科技", "环保设备制造"];
    const FORMS: [&str; 4] = ["有限公司", "有限责任公司", "股份有限公司", "集团有限公司"];
    let parts = [one(&PLACES, dice), one(&NAMES, dice), one(&TRADES, dice), one(&FORMS, dice)];
    parts.concat()
}

/// A value of a text claim, by its key.
fn text(of: &LicenceTypeRecord, key: &str, dice: &mut Dice) -> String {
    let choice = |list: &[&str], dice: &mut Dice| one(list, dice).to_owned();
    match key {
        "name" if of.public_subject => firm(dice),
        "employer" => firm(dice),
        "address" | "location" => address(dice),
        "nationality" => "中国".to_owned(),
        "ethnicity" => choice(&["汉", "汉", "回", "壮", "维吾尔", "满"], dice),
        "issuing_authority" => choice(
            &["深圳市公安局南山分局", "成都市公安局武侯区分局", "西安市社会保险事业管理中心"],
            dice,
        ),
        "registration_authority" => choice(&["深圳市南山区民政局", "成都市武侯区民政局"], dice),
        "issuing_institution" | "birth_place" => {
            choice(&["深圳市妇幼保健院", "广东省人民医院", "四川大学华西第二医院"], dice)
        }
        "company_type" => choice(
            &["有限责任公司", "有限责任公司（自然人投资或控股）", "股份有限公司", "个体工商户"],
            dice,
        ),
        "registered_capital" => format!("{}万元人民币", dice.between(10, 9_000)),
        "business_scope" => scope(dice),
        "certificate_number" => certificate_number(of, dice),
        "co_ownership" => choice(&["单独所有", "共同共有", "按份共有"], dice),
        "unit_number" => {
            format!("440305 {} GB{} F{}", digits(6, dice), digits(5, dice), digits(8, dice))
        }
        "right_type" => {
            choice(&["国有建设用地使用权/房屋所有权", "集体建设用地使用权/房屋所有权"], dice)
        }
        "use" => choice(&["城镇住宅用地/成套住宅", "商业用地/商业服务"], dice),
        "area" => format!(
            "共有宗地面积{}平方米/房屋建筑面积{}.{}平方米",
            dice.between(900, 30_000),
            dice.between(30, 240),
            digits(2, dice)
        ),
        "term" => "国有建设用地使用权 2005年03月01日起 2075年02月28日止".to_owned(),
        "matter" => choice(&["抵押权", "预售商品房买卖预告登记", "居住权"], dice),
        "specialty" => choice(&["建筑工程", "市政公用工程", "机电工程", "公路工程"], dice),
        "operation_class" => choice(
            &["建筑电工", "建筑起重机械司机（塔式起重机）", "建筑架子工（普通脚手架）"],
            dice,
        ),
        "relation" => choice(&["户主", "妻", "子", "长女"], dice),
        "archive_number" => format!("44{}", digits(10, dice)),
        "card_number" | "household_number" => digits(9, dice),
        _ => person(dice),
    }
}

fn scope(dice: &mut Dice) -> String {
    const TRADES: [&str; 8] = [
        "软件开发",
        "信息技术咨询服务",
        "货物进出口",
        "餐饮服务",
        "道路货物运输",
        "普通货物仓储服务",
        "建筑劳务分包",
        "工程管理服务",
    ];
    let chosen: Vec<&str> = (0..dice.between(3, 8)).map(|_| one(&TRADES, dice)).collect();
    format!("{}（依法须经批准的项目，经相关部门批准后方可开展经营活动）", chosen.join("；"))
}

fn certificate_number(of: &LicenceTypeRecord, dice: &mut Dice) -> String {
    match of.code.as_str() {
        "11100000MB03271699001" => {
            format!("粤（2024）深圳市不动产权第{}号", digits(7, dice))
        }
        "11100000MB03271699022" => {
            format!("川（2023）成都市不动产证明第{}号", digits(7, dice))
        }
        "11100000000013338W011" => format!("粤建安B（2026）{}", digits(7, dice)),
        "local:marriage-certificate" => format!("J440305-2024-{}", digits(6, dice)),
        _ => format!("粤2442024{}", digits(8, dice)),
    }
}
