//! Which keys a reload cannot change while packets flow.

use serde_json::Value;

/// Keys that the controller takes up with its next plan.
const LIVE: [&str; 4] =
    ["controller.interval", "controller.safety", "controller.medium_split", "guard.max"];

/// The keys, dotted, that differ between two configs and that are not live.
pub(super) fn waiting_for_restart(running: &Value, wanted: &Value) -> Vec<String> {
    let mut differ = Vec::new();
    compare("", running, wanted, &mut differ);
    // What follows from other keys is not one.
    differ.retain(|key| !LIVE.contains(&key.as_str()) && !key.contains(".budgets_in_force"));
    differ
}

/// What is in force after a reload: the running config with the live keys of the wanted one.
pub(super) fn in_force(running: &Value, wanted: &Value) -> Value {
    let mut result = running.clone();
    for key in LIVE {
        let path = format!("/{}", key.replace('.', "/"));
        if let (Some(to), Some(from)) = (result.pointer_mut(&path), wanted.pointer(&path)) {
            to.clone_from(from);
        }
    }
    result
}

fn compare(at: &str, a: &Value, b: &Value, differ: &mut Vec<String>) {
    let below = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|k| !a.contains_key(*k))) {
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
    use serde_json::json;

    #[test]
    fn names_what_waits_and_leaves_out_what_is_live() {
        let a = json!({"controller": {"safety": 0.9, "policy": "edf"}, "ingress": [{"name": "a", "listen": "x"}]});
        let b = json!({"controller": {"safety": 0.8, "policy": "fifo"}, "ingress": [{"name": "a", "listen": "y"}]});
        assert_eq!(waiting_for_restart(&a, &b), ["controller.policy", "ingress[0].listen"]);
        assert!(waiting_for_restart(&a, &a).is_empty());
        let now = in_force(&a, &b);
        assert_eq!(now["controller"], json!({"safety": 0.8, "policy": "edf"}));
        assert_eq!(now["ingress"], a["ingress"]);
    }
}
