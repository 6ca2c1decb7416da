//! The national shared service's shapes: what matches, where a licence stands, and what is never
//! told.

use serde_json::{Value, json};
use symbolon_ledger::{
    keys::SecretKey,
    operation::{Operation, RevocationClass},
};

use crate::support::{Answer, Licence, Node, TYPE};

const SELF: &str = "urn:elic:qr";
const VERIFY: &str = "/v1/compat/verifyCertInfo";
const QUERY: &str = "/v1/compat/queryCertInfo";

fn holder() -> SecretKey {
    SecretKey::from_seed(&[61; 32])
}

fn scene() -> (Node, Licence) {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 0);
    (node, licence)
}

/// The value of a claim of a licence.
fn value(node: &Node, licence: &Licence, key: &str) -> String {
    let verdict = node.verify(&json!({"presentation": licence.text})).json();
    let claims = verdict["claims"].as_array().unwrap();
    let claim = claims.iter().find(|c| c["key"] == key).unwrap();
    claim["value"].as_str().unwrap().to_owned()
}

/// A request to compare, complete.
fn comparison(presentation: &str, fields: &Value) -> Value {
    json!({
        "head": {"accessId": "province-31", "accessToken": "d41d8cd98f00b204e9800998ecf8427e"},
        "data": {"certTypeCode": TYPE, "certData": fields, "useCause": "办理落户",
            "presentation": presentation},
    })
}

fn status(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 200, "{}", answer.json());
    let json = answer.json();
    assert!(!json["head"]["message"].as_str().unwrap().is_empty());
    json["head"]["status"].as_u64().unwrap()
}

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.problem().as_str(), answer.status), (code, status), "{}", answer.json());
}

#[test]
fn fields_are_compared_and_nothing_is_told_but_whether_all_match() {
    let (node, licence) = scene();
    let (name, class) = (value(&node, &licence, "name"), value(&node, &licence, "vehicle_class"));
    let compare = |presentation: &str, fields: Value| {
        let answer = node.post_json(VERIFY, &comparison(presentation, &fields));
        assert_eq!(status(&answer), 0);
        answer
    };
    let whole = licence.text.as_str();
    let yes = compare(whole, json!({"姓名": name, "准驾车型": class}));
    let matched = json!({"head": {"status": 0, "message": "成功 / done"}, "data": {"match": true}});
    assert_eq!(yes.json(), matched);
    let in_text = json!({"name": name, "vehicle_class": class}).to_string();
    assert_eq!(compare(whole, json!(in_text)).body, yes.body, "by key, and as a text");

    let no = compare(whole, json!({"姓名": "别人", "准驾车型": class}));
    let unmatched =
        json!({"head": {"status": 0, "message": "成功 / done"}, "data": {"match": false}});
    assert_eq!(no.json(), unmatched);
    let (_, never) = (0, node.prepare_licence("44", 1).0);
    for (why, presentation, fields) in [
        ("the other field", whole, json!({"姓名": name, "准驾车型": "A1"})),
        ("both", whole, json!({"姓名": "别人", "准驾车型": "A1"})),
        ("no such field", whole, json!({"姓名": name, "血型": "A"})),
        ("by key and label, one wrong", whole, json!({"姓名": name, "name": "别人"})),
        ("not on the ledger", never.text.as_str(), json!({"准驾车型": class})),
    ] {
        assert_eq!(compare(presentation, fields).body, no.body, "{why}");
    }
    // What the presentation withholds does not match, right or wrong.
    let parsed = symbolon_credential::sd_jwt::Parsed::parse(whole).unwrap();
    let shown = parsed.present(&["vehicle_class"]).unwrap();
    assert_eq!(compare(&shown, json!({"准驾车型": class})).body, yes.body);
    assert_eq!(compare(&shown, json!({"姓名": name})).body, no.body);
    // Another type.
    let mut other = comparison(whole, &json!({"姓名": name}));
    other["data"]["certTypeCode"] = json!("11100000MB0143028R001");
    assert_eq!(node.post_json(VERIFY, &other).body, no.body);

    let revoke = Operation::Revoke { cid: licence.cid, class: RevocationClass::Penalty };
    node.apply(&node.by_agency("44", vec![revoke]));
    assert_eq!(
        compare(whole, json!({"姓名": name})).body,
        no.body,
        "a revoked one confirms nothing"
    );
}

#[test]
fn a_signed_presentation_is_compared_once_and_doubt_is_no_no() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue_to("44", 0, &holder());
    let class = value(&node, &licence, "vehicle_class");
    let shown =
        |nonce: &str| node.present(&licence, (&["vehicle_class"], &holder()), (SELF, nonce));
    let body = comparison(&shown("n1"), &json!({"准驾车型": class}));
    assert_eq!(node.post_json(VERIFY, &body).json()["data"], json!({"match": true}));
    assert_eq!(node.post_json(VERIFY, &body).json()["data"], json!({"match": false}));

    node.wait(node.genesis.chain.max_staleness_ms / 1_000 + 1);
    for fields in [json!({"准驾车型": class}), json!({"准驾车型": "A1"})] {
        let answer = node.post_json(VERIFY, &comparison(&shown("n2"), &fields));
        assert_eq!(status(&answer), 902);
        assert_eq!(answer.json().get("data"), None, "neither yes nor no");
    }
}

#[test]
fn what_is_missing_or_of_no_form_in_a_comparison_is_named() {
    let (node, licence) = scene();
    let good = comparison(&licence.text, &json!({"姓名": "某"}));
    let with = |path: &[&str], value: Value| {
        let mut body = good.clone();
        let mut place = &mut body;
        for name in path {
            place = &mut place[*name];
        }
        *place = value;
        node.post_json(VERIFY, &body)
    };
    for name in ["certTypeCode", "certData", "useCause", "presentation"] {
        for nothing in [Value::Null, json!(""), json!(" ")] {
            if name == "certData" && nothing != Value::Null {
                continue;
            }
            let answer = with(&["data", name], nothing);
            assert_eq!(status(&answer), 12, "{name}");
            let message = answer.json()["head"]["message"].as_str().unwrap().to_owned();
            assert!(message.contains(name), "{message}");
            assert_eq!(answer.json().get("data"), None);
        }
    }
    assert_eq!(status(&with(&["data", "certData"], json!({}))), 12);
    assert_eq!(status(&with(&["data", "certTypeCode"], json!("driving"))), 113);
    assert_eq!(status(&with(&["data", "certTypeCode"], json!("local:nothing"))), 13);
    for (path, value) in [
        (&["data", "useCause"][..], json!("用".repeat(201))),
        (&["data", "certData"][..], json!("no json")),
        (&["data", "certData"][..], json!("{\"a\":\"b\",\"a\":\"c\"}")),
        (&["data", "certData"][..], json!({"姓名": 7})),
        (&["data", "certData"][..], json!(["姓名"])),
        (&["data", "certDatum"][..], json!({})),
        (&["head", "accessId"][..], json!(7)),
        (&["head", "accessToken"][..], json!("t".repeat(513))),
        (&["head", "accessToken"][..], json!("a\nb")),
        (&["head", "password"][..], json!("x")),
    ] {
        refused(&with(path, value), 400, "bad_json");
    }
    refused(&with(&["data", "presentation"], json!("no licence")), 400, "malformed_presentation");
    assert_eq!(status(&with(&["data", "useCause"], json!("用".repeat(200)))), 0);
    assert_eq!(status(&with(&["head"], json!({}))), 0, "tokens open nothing, so none is needed");
}

#[test]
fn a_licence_is_found_by_its_cid_with_the_code_of_its_standing() {
    let (node, licence) = scene();
    let query = |data: Value| node.post_json(QUERY, &json!({"data": data}));
    let cid = json!({"cid": licence.cid.to_string()});
    let answer = query(cid.clone());
    assert_eq!(status(&answer), 0);
    let data = answer.json()["data"].clone();
    assert_eq!((&data["ZZMC"], &data["ZZLXDM"]), (&json!("机动车驾驶证"), &json!(TYPE)));
    assert_eq!(data["ZZBFJGDM"], json!(node.agency("44").to_string()));
    assert_eq!(data["ledgerStatus"], "active");
    for personal in ["certData", "ZZYXQQSRQ", "ZZYXQJZRQ"] {
        assert_eq!(data.get(personal), None, "{personal} is not on the ledger");
    }

    let typed = |code: &str| {
        let mut data = cid.clone();
        data["certTypeCode"] = json!(code);
        status(&query(data))
    };
    assert_eq!(typed(TYPE), 0);
    assert_eq!(typed("11100000MB0143028R001"), 10, "of another type");
    assert_eq!((typed("local:nothing"), typed("x")), (13, 113));
    assert_eq!(status(&query(json!({"cid": "ab".repeat(32)}))), 10);
    assert_eq!(status(&query(json!({}))), 12);
    refused(&query(json!({"cid": "ab"})), 400, "bad_cid");
    refused(&query(json!({"cid": "ab", "presentation": "x"})), 400, "bad_json");
    refused(&query(json!({"cid": "ab", "useCause": "用".repeat(201)})), 400, "bad_json");

    let by = |operation| node.apply(&node.by_agency("44", vec![operation]));
    by(Operation::Suspend { cid: licence.cid });
    assert_eq!(status(&query(cid.clone())), 23);
    by(Operation::Resume { cid: licence.cid });
    by(Operation::TransferOut { cid: licence.cid, to: node.agency("11") });
    assert_eq!(status(&query(cid.clone())), 23);
    node.wait(node.genesis.chain.max_staleness_ms / 1_000 + 1);
    assert_eq!(status(&query(cid.clone())), 902, "what may have changed is not said");
    assert_eq!(status(&query(json!({"cid": "ab".repeat(32)}))), 902);
    by(Operation::Revoke { cid: licence.cid, class: RevocationClass::Cancelled });
    assert_eq!(status(&query(cid.clone())), 21);
    node.wait(node.genesis.chain.max_staleness_ms / 1_000 + 1);
    assert_eq!(status(&query(cid)), 21, "what is final stands");
}

#[test]
fn a_compromised_key_is_told_by_cid_as_by_presentation() {
    let (node, licence) = scene();
    let mark = |key_id, from_height| Operation::MarkCompromised {
        agency: node.agency("44"),
        key_id,
        from_height,
    };
    node.apply(&node.by_province("44", vec![mark(1, 2)]));
    for data in [json!({"cid": licence.cid.to_string()}), json!({"presentation": licence.text})] {
        let answer = node.post_json(QUERY, &json!({"data": data}));
        assert_eq!(status(&answer), 901, "{data}");
        let message = answer.json()["head"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("issuer_key_compromised"), "{message}");
    }
}

#[test]
fn a_presentation_is_answered_with_its_verdict_and_what_it_showed() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue_to("44", 0, &holder());
    let shown = |nonce: &str| {
        let text = node.present(&licence, (&["vehicle_class"], &holder()), (SELF, nonce));
        json!({"data": {"presentation": text}})
    };
    let answer = node.post_json(QUERY, &shown("n1")).json();
    assert_eq!(answer["head"]["status"], 0, "{answer}");
    let data = &answer["data"];
    let certificate = data["certData"].as_object().unwrap();
    assert_eq!(certificate.keys().collect::<Vec<_>>(), ["准驾车型"], "only what was shown");
    assert_eq!(
        (&data["cid"], &data["ZZYXQJZRQ"]),
        (&json!(licence.cid.to_string()), &json!("长期"))
    );
    let again = node.post_json(QUERY, &shown("n1"));
    assert_eq!(status(&again), 901);
    assert!(again.json()["head"]["message"].as_str().unwrap().contains("replayed"));
    assert_eq!(again.json()["data"].get("certData"), None);

    let (never, _) = node.prepare_licence("44", 1);
    let never = node.post_json(QUERY, &json!({"data": {"presentation": never.text}}));
    assert_eq!((status(&never), never.json().get("data").cloned()), (10, None));

    node.apply(&node.by_agency("44", vec![Operation::Suspend { cid: licence.cid }]));
    let suspended = node.post_json(QUERY, &shown("n2")).json();
    assert_eq!(
        (&suspended["head"]["status"], suspended["data"].get("certData")),
        (&json!(23), None)
    );
    let name = value(&node, &licence, "name");
    assert!(!suspended.to_string().contains(&name));
}
