//! What a reload takes up while packets flow, and which keys it cannot change.

use serde_json::Value;

use crate::config::Settings;

/// Takes up what the controller follows with its next plan, and names the keys, dotted, that differ all the same: they wait
/// for a restart. Nothing else of `wanted` may reach the controller, because the workers go on with what they started with:
/// quotas from another budget than the one that packets are held to would be wrong ones.
pub(super) fn adopt(in_force: &mut Settings, wanted: &Settings) -> Vec<String> {
    in_force.controller.interval = wanted.controller.interval;
    in_force.controller.safety = wanted.controller.safety;
    in_force.controller.fill = wanted.controller.fill;
    in_force.guard.max = wanted.guard.max;
    let mut differ = Vec::new();
    compare("", &in_force.to_json(), &wanted.to_json(), &mut differ);
    differ
}

fn compare(at: &str, a: &Value, b: &Value, differ: &mut Vec<String>) {
    let below = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            // What follows from other keys is no key of its own.
            let keys = a.keys().chain(b.keys().filter(|k| !a.contains_key(*k)));
            for key in keys.filter(|k| *k != "budgets_in_force") {
                let none = Value::Null;
                let of = |m: &serde_json::Map<String, Value>| m.get(key).unwrap_or(&none).clone();
                compare(&below(key), &of(a), &of(b), differ);
            }
        }
        (Value::Array(x), Value::Array(y))
            if x.len() == y.len() && x.iter().all(Value::is_object) =>
        {
            for (i, (a, b)) in x.iter().zip(y).enumerate() {
                compare(&format!("{at}[{i}]"), a, b, differ);
            }
        }
        _ if a == b => {}
        _ => differ.push(at.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use serde_json::json;

    fn settings(changed: &[(&str, &str)]) -> Settings {
        let mut text = config::embedded().to_owned();
        for (from, to) in changed {
            assert!(text.contains(from), "{from}");
            text = text.replacen(from, to, 1);
        }
        config::parse("test.toml", &text).unwrap().settings
    }

    #[test]
    fn live_keys_are_taken_up_and_the_others_are_named() {
        let mut in_force = settings(&[]);
        let changes = [
            ("safety = 0.9", "safety = 0.5"),
            ("# fill = 1.0", "fill = 0.5"),
            ("interval = \"100ms\"", "interval = \"200ms\""),
            ("# max = \"80us\"", "max = \"40us\""),
            ("budget = \"1ms\"", "budget = \"2ms\""),
            ("127.0.0.1:8082", "127.0.0.1:8083"),
        ];
        let wanted = settings(&changes);
        let waiting = adopt(&mut in_force, &wanted);
        assert_eq!(waiting, ["ingress[2].listen", "priority.high.budget"]);
        let expected = settings(&changes[..4]);
        assert_eq!(in_force.to_json(), expected.to_json());
        assert!(adopt(&mut in_force, &expected).is_empty());
    }

    #[test]
    fn lists_are_compared_entry_by_entry_where_they_match() {
        let a = json!({"ingress": [{"name": "a", "listen": "x"}], "cores": [0, 1]});
        let b = json!({"ingress": [{"name": "a", "listen": "y"}], "cores": [1], "new": 1});
        let mut differ = Vec::new();
        compare("", &a, &b, &mut differ);
        assert_eq!(differ, ["cores", "ingress[0].listen", "new"]);
    }
}
