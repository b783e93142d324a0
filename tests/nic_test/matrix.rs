//! Every check under every fault, as one table.

use serde_json::{Value, json};

use crate::faults::Fault::{self, Cuts, Damages, DropsAll, DropsTagged, LosesTwoPercent, OnlyOwn, StripsTag};
use crate::lab::{self, GENERATOR, Lab, TARGET};
use crate::namespace::in_namespace;

/// A fault; the verdict, its code and the exit code; then the results of SMNIC-1 to SMNIC-13: passed, a note, failed, not
/// run. Where nothing is heard there are no results.
type Row = (Option<Fault>, &'static str, Option<&'static str>, i32, &'static str);

const TABLE: [Row; 8] = [
    (None, "qualified", None, 0, "PPPPPPPPPPPPP"),
    (Some(DropsTagged), "not_qualified", Some("SM-2201"), 1, "FPPFFNNFNFNF-"),
    (Some(DropsAll), "inconclusive", Some("SM-2101"), 2, ""),
    (Some(StripsTag), "not_qualified", Some("SM-2105"), 1, "FPPNFNNFNFNPP"),
    (Some(OnlyOwn), "not_qualified", Some("SM-2104"), 1, "PPFPPPPPPPPFP"),
    (Some(Cuts), "not_qualified", Some("SM-2202"), 1, "PPPPPPPFNFNFP"),
    (Some(Damages), "not_qualified", Some("SM-2203"), 1, "PPPPPPPFNFNFP"),
    (
        Some(LosesTwoPercent),
        "not_qualified",
        Some("SM-2204"),
        1,
        "PPPPPPPPPPPFP",
    ),
];

fn letters(verdict: &Value) -> String {
    let checks = verdict["checks"].as_array().expect("checks").iter();
    let letter = |check: &Value| match check["result"].as_str() {
        Some("pass") => 'P',
        Some("note") => 'N',
        Some("fail") => 'F',
        _ => '-',
    };
    checks.map(letter).collect()
}

#[test]
fn each_fault_gives_its_own_code_and_verdict_and_the_healthy_path_qualifies() {
    if !in_namespace("matrix::each_fault_gives_its_own_code_and_verdict_and_the_healthy_path_qualifies") {
        return;
    }
    let lab = Lab::build();
    let (index, address) = (lab.index(TARGET), lab.octets(TARGET));
    for (fault, verdict, code, exit, results) in TABLE {
        let _attached = fault.map(|fault| fault.attach(index, address).expect("the fault is attached"));
        let arguments = ["qualify", TARGET, "--generator", GENERATOR, "--json"];
        let (exited, told) = lab.verdict(&[&arguments, lab::SHORT_BURST].concat());
        let found = (
            told["verdict"].as_str(),
            told["reason"]["code"].as_str(),
            exited,
            letters(&told),
        );
        let expected = (Some(verdict), code, exit, results.to_owned());
        assert_eq!(found, expected, "{fault:?}: {told:#}");
        if fault.is_none() {
            let tag = &told["checks"][0]["tag"];
            assert_eq!(tag, &json!("kept"), "{told}");
            assert_eq!(told["checks"][0]["evidence"]["tag_raw"], json!("metadata"), "{told}");
        }
    }
}
