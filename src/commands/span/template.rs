//! `silentmon span template`: the mirror configuration of a switch, both directions, with its tags, as lines to paste.
//!
//! Each platform has its own way to keep the VLAN tags, which comment lines in its own syntax explain. Written after the
//! vendors' configuration guides: Catalyst, Nexus, IOS XR and CatOS of Cisco, Junos for switches with ELS, AOS-CX of
//! Aruba, esxcli of vSphere, the Hyper-V module of Windows Server.

use clap::{Args, ValueEnum};

use crate::exit::{ExitKind, Failure};

/// Arguments of `span template`.
#[derive(Debug, Args)]
pub(super) struct TemplateArgs {
    /// What runs on the switch.
    #[arg(long, value_enum)]
    switch: Switch,
    /// The port of the gateway whose traffic is mirrored; of ESXi and Hyper-V the virtual switch that the mirror's cable
    /// goes into. May be given several times, where the switch can.
    #[arg(long, value_name = "PORT", value_parser = name)]
    source: Vec<String>,
    /// The port that the capture server is connected to; of ESXi its port group, of Hyper-V its virtual machine.
    #[arg(long, value_name = "PORT", value_parser = name)]
    destination: Option<String>,
    /// Mirrors this VLAN alone.
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u16).range(1..=4094))]
    vlan: Option<u16>,
}

/// Whose configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    /// Cisco IOS and IOS XE (Catalyst).
    Ios,
    /// Cisco NX-OS (Nexus).
    Nxos,
    /// Cisco IOS XR.
    Iosxr,
    /// Cisco CatOS.
    Catos,
    /// Juniper Junos with ELS (EX, QFX).
    Junos,
    /// Aruba AOS-CX.
    Aruba,
    /// VMware ESXi, standard switch.
    Esxi,
    /// Microsoft Hyper-V.
    Hyperv,
}

/// A name as switches have them; nothing that would end the line or the quotes it is pasted into.
fn name(text: &str) -> Result<String, String> {
    let fits = |character: char| character.is_ascii_alphanumeric() || "/.:-_ ".contains(character);
    let fitting = !text.trim().is_empty() && text.len() <= 80 && text.chars().all(fits) && !text.starts_with('-');
    let expected = "expected a name of letters, digits, blanks and / . : - _";
    fitting
        .then(|| text.trim().to_owned())
        .ok_or_else(|| expected.to_owned())
}

/// What goes into a template.
struct Parts {
    sources: Vec<String>,
    destination: String,
    vlan: Option<u16>,
}

impl TemplateArgs {
    /// The lines to paste.
    ///
    /// # Errors
    /// `Usage` where the switch can't do what was asked for.
    pub(super) fn lines(&self) -> anyhow::Result<Vec<String>> {
        let (source, destination) = self.switch.examples();
        let parts = Parts {
            sources: if self.source.is_empty() {
                vec![source.to_owned()]
            } else {
                self.source.clone()
            },
            destination: self.destination.clone().unwrap_or_else(|| destination.to_owned()),
            vlan: self.vlan,
        };
        let refuse = |what: &str| Err(Failure::error(ExitKind::Usage, what));
        match self.switch {
            Switch::Aruba if parts.vlan.is_some() => {
                return refuse("expected no --vlan for aruba: its mirror sessions take whole ports");
            }
            Switch::Esxi | Switch::Hyperv if parts.sources.len() > 1 => {
                return refuse("expected one --source: the virtual switch that the mirror's cable goes into");
            }
            _ => {}
        }
        Ok(match self.switch {
            Switch::Ios => ios(&parts),
            Switch::Nxos => nxos(&parts),
            Switch::Iosxr => iosxr(&parts),
            Switch::Catos => catos(&parts),
            Switch::Junos => junos(&parts),
            Switch::Aruba => aruba(&parts),
            Switch::Esxi => esxi(&parts),
            Switch::Hyperv => hyperv(&parts),
        })
    }
}

impl Switch {
    /// Source and destination where none is said.
    const fn examples(self) -> (&'static str, &'static str) {
        match self {
            Self::Ios => ("GigabitEthernet1/0/1", "GigabitEthernet1/0/24"),
            Self::Nxos => ("Ethernet1/1", "Ethernet1/48"),
            Self::Iosxr => ("GigabitEthernet0/0/0/1", "GigabitEthernet0/0/0/24"),
            Self::Catos => ("3/1", "3/24"),
            Self::Junos => ("ge-0/0/1.0", "ge-0/0/23.0"),
            Self::Aruba => ("1/1/1", "1/1/24"),
            Self::Esxi => ("vSwitch1", "silentmon-span"),
            Self::Hyperv => ("SPAN", "silentmon"),
        }
    }
}

/// Comment lines.
fn comments(mark: &str, lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| format!("{mark} {line}")).collect()
}

fn ios(parts: &Parts) -> Vec<String> {
    let mut lines = comments(
        "!",
        &[
            "silentmon: mirrors the gateway's port in both directions.",
            "`encapsulation replicate` sends each frame on as it was, 802.1Q tag and priority included; without it the",
            "tags are taken off and phones of two VLANs can't be told apart. Where it is refused (Catalyst 4500), use",
            "`encapsulation dot1q`.",
        ],
    );
    lines.push("no monitor session 1".to_owned());
    lines.extend(
        parts
            .sources
            .iter()
            .map(|source| format!("monitor session 1 source interface {source} both")),
    );
    if let Some(vlan) = parts.vlan {
        lines.extend(comments("!", &["`filter vlan` goes with trunk ports only."]));
        lines.push(format!("monitor session 1 filter vlan {vlan}"));
    }
    lines.push(format!(
        "monitor session 1 destination interface {} encapsulation replicate",
        parts.destination
    ));
    lines
}

fn nxos(parts: &Parts) -> Vec<String> {
    let mut lines = comments(
        "!",
        &[
            "silentmon: mirrors the gateway's port in both directions.",
            "NX-OS has no `encapsulation replicate`: a destination port in trunk mode sends the frames with their tags,",
            "one in access mode without.",
        ],
    );
    lines.push(format!("interface {}", parts.destination));
    lines.extend(
        [
            "  switchport",
            "  switchport mode trunk",
            "  switchport monitor",
            "  no shutdown",
            "no monitor session 1",
            "monitor session 1",
        ]
        .map(str::to_owned),
    );
    lines.extend(
        parts
            .sources
            .iter()
            .map(|source| format!("  source interface {source} both")),
    );
    lines.extend(parts.vlan.map(|vlan| format!("  filter vlan {vlan}")));
    lines.push(format!("  destination interface {}", parts.destination));
    lines.push("  no shut".to_owned());
    lines
}

fn iosxr(parts: &Parts) -> Vec<String> {
    let mut lines = comments(
        "!",
        &[
            "silentmon: mirrors the gateway's port; without `direction` both directions are mirrored.",
            "IOS XR has no `encapsulation replicate`: an `ethernet` session copies whole frames, their tags included.",
        ],
    );
    lines.push("monitor-session silentmon ethernet".to_owned());
    lines.push(format!(" destination interface {}", parts.destination));
    if parts.vlan.is_some() {
        lines.extend(comments("!", &["One VLAN is a subinterface; it must exist."]));
    }
    for source in &parts.sources {
        let subinterface = parts.vlan.map_or_else(String::new, |vlan| format!(".{vlan}"));
        lines.push(format!("interface {source}{subinterface}"));
        lines.push(" monitor-session silentmon ethernet".to_owned());
    }
    lines.push("commit".to_owned());
    lines
}

fn catos(parts: &Parts) -> Vec<String> {
    let mut lines = comments(
        "#",
        &[
            "silentmon: mirrors the gateway's port in both directions.",
            "CatOS has no `encapsulation replicate`: the destination port keeps the tags if it is made a trunk before",
            "SPAN is turned on.",
        ],
    );
    let filter = parts.vlan.map_or_else(String::new, |vlan| format!(" filter {vlan}"));
    lines.push(format!("set trunk {} nonegotiate dot1q", parts.destination));
    lines.push(format!(
        "set span {} {} both inpkts disable{filter} create",
        parts.sources.join(","),
        parts.destination
    ));
    lines
}

fn junos(parts: &Parts) -> Vec<String> {
    let mut lines = comments(
        "#",
        &[
            "silentmon: mirrors the gateway's port in both directions.",
            "Junos has no `encapsulation replicate`: an analyzer copies the frames of a trunk port with their tags. The",
            "output port must belong to no other VLAN.",
        ],
    );
    let set = "set forwarding-options analyzer silentmon";
    if let Some(vlan) = parts.vlan {
        lines.extend(comments(
            "#",
            &[
                "What enters the VLAN is both directions: the phones' frames at their ports, the gateway's at its own.",
                "The VLAN goes by its number or its name.",
            ],
        ));
        lines.push(format!("{set} input ingress vlan {vlan}"));
    } else {
        for source in &parts.sources {
            lines.push(format!("{set} input ingress interface {source}"));
            lines.push(format!("{set} input egress interface {source}"));
        }
    }
    lines.push(format!("{set} output interface {}", parts.destination));
    lines.push("commit".to_owned());
    lines
}

fn aruba(parts: &Parts) -> Vec<String> {
    let mut lines = comments(
        "!",
        &[
            "silentmon: mirrors the gateway's port in both directions.",
            "AOS-CX has no `encapsulation replicate`: mirrored frames keep their tags, and those that leave untagged get",
            "the tag of the native VLAN.",
        ],
    );
    lines.push("mirror session 1".to_owned());
    lines.extend(
        parts
            .sources
            .iter()
            .map(|source| format!("    source interface {source} both")),
    );
    lines.push(format!("    destination interface {}", parts.destination));
    lines.push("    enable".to_owned());
    lines
}

fn esxi(parts: &Parts) -> Vec<String> {
    let Parts {
        sources, destination, ..
    } = parts;
    let vswitch = sources.first().map_or("", String::as_str);
    let standard = "esxcli network vswitch standard";
    let mut lines = comments(
        "#",
        &[
            "silentmon: a port group that sees all that comes in at the uplink which the physical mirror feeds, both",
            "directions as that mirror has them. Give this vSwitch an uplink of its own.",
        ],
    );
    let tags: &[&str] = if parts.vlan.is_some() {
        &[
            "One VLAN alone: its frames arrive without the tag. VLAN 4095 is what `encapsulation replicate` is on a",
            "switch: all VLANs, tags kept.",
        ]
    } else {
        &["VLAN 4095 is what `encapsulation replicate` is on a switch: all VLANs, tags kept."]
    };
    lines.extend(comments("#", tags));
    lines.push(format!(
        "{standard} portgroup add --portgroup-name=\"{destination}\" --vswitch-name=\"{vswitch}\""
    ));
    lines.push(format!(
        "{standard} portgroup set --portgroup-name=\"{destination}\" --vlan-id={}",
        parts.vlan.unwrap_or(4095)
    ));
    lines.extend(comments(
        "#",
        &["Without this only the machine's own frames arrive (SM-2104)."],
    ));
    lines.push(format!(
        "{standard} portgroup policy security set --portgroup-name=\"{destination}\" --allow-promiscuous=true"
    ));
    lines
}

fn hyperv(parts: &Parts) -> Vec<String> {
    let Parts {
        sources, destination, ..
    } = parts;
    let switch = sources.first().map_or("", String::as_str);
    let vlans = parts.vlan.map_or_else(|| "1-4094".to_owned(), |vlan| vlan.to_string());
    let mut lines = comments(
        "#",
        &[
            "silentmon: hands all that comes in at the virtual switch's external port to the virtual machine, both",
            "directions as the physical mirror has them.",
        ],
    );
    lines.push(format!(
        "Add-VMNetworkAdapter -VMName \"{destination}\" -Name \"span\" -SwitchName \"{switch}\""
    ));
    lines.push(format!(
        "Set-VMNetworkAdapter -VMName \"{destination}\" -Name \"span\" -PortMirroring Destination"
    ));
    lines.extend(comments(
        "#",
        &["A trunk is what `encapsulation replicate` is on a switch: without it tagged frames don't arrive."],
    ));
    lines.push(format!(
        "Set-VMNetworkAdapterVlan -VMName \"{destination}\" -VMNetworkAdapterName \"span\" -Trunk \
         -AllowedVlanIdList \"{vlans}\" -NativeVlanId 0"
    ));
    lines.extend(comments(
        "#",
        &["Mode 2 makes the external port the source of the mirror."],
    ));
    lines.push(
        "$feature = Get-VMSystemSwitchExtensionPortFeature -FeatureId 776e0ba7-94a1-41c8-8f28-951f524251b5".to_owned(),
    );
    lines.push("$feature.SettingData.MonitorMode = 2".to_owned());
    lines.push(format!(
        "Add-VMSwitchExtensionPortFeature -ExternalPort -SwitchName \"{switch}\" -VMSwitchExtensionFeature $feature"
    ));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What would be pasted, comments apart, and the comments.
    fn template(switch: Switch, source: &[&str], destination: &str, vlan: Option<u16>) -> (Vec<String>, String) {
        let arguments = TemplateArgs {
            switch,
            source: source.iter().map(|&source| source.to_owned()).collect(),
            destination: (!destination.is_empty()).then(|| destination.to_owned()),
            vlan,
        };
        let lines = arguments.lines().expect("a template");
        let (comments, pasted): (Vec<_>, Vec<_>) = lines
            .into_iter()
            .partition(|line| line.starts_with('!') || line.starts_with('#'));
        (pasted, comments.join("\n"))
    }

    fn assert_explained(comments: &str) {
        assert!(comments.contains("both"), "{comments}");
        assert!(comments.contains("`encapsulation replicate`"), "{comments}");
    }

    #[test]
    fn ios_replicates_the_encapsulation_and_filters_a_vlan() {
        let (pasted, comments) = template(Switch::Ios, &["Gi1/0/1", "Gi1/0/2"], "Gi1/0/24", Some(200));
        let expected = [
            "no monitor session 1",
            "monitor session 1 source interface Gi1/0/1 both",
            "monitor session 1 source interface Gi1/0/2 both",
            "monitor session 1 filter vlan 200",
            "monitor session 1 destination interface Gi1/0/24 encapsulation replicate",
        ];
        assert_eq!(pasted, expected);
        assert_explained(&comments);
    }

    #[test]
    fn nxos_makes_the_destination_a_monitoring_trunk() {
        let (pasted, comments) = template(Switch::Nxos, &[], "", Some(200));
        let expected = [
            "interface Ethernet1/48",
            "  switchport",
            "  switchport mode trunk",
            "  switchport monitor",
            "  no shutdown",
            "no monitor session 1",
            "monitor session 1",
            "  source interface Ethernet1/1 both",
            "  filter vlan 200",
            "  destination interface Ethernet1/48",
            "  no shut",
        ];
        assert_eq!(pasted, expected);
        assert_explained(&comments);
    }

    #[test]
    fn iosxr_mirrors_a_vlan_by_its_subinterface() {
        let (pasted, comments) = template(Switch::Iosxr, &["TenGigE0/0/0/1"], "TenGigE0/0/0/9", Some(200));
        let expected = [
            "monitor-session silentmon ethernet",
            " destination interface TenGigE0/0/0/9",
            "interface TenGigE0/0/0/1.200",
            " monitor-session silentmon ethernet",
            "commit",
        ];
        assert_eq!(pasted, expected);
        assert_explained(&comments);
    }

    #[test]
    fn catos_makes_the_destination_a_trunk_first() {
        let (pasted, comments) = template(Switch::Catos, &["3/1", "3/2"], "3/24", Some(200));
        let expected = [
            "set trunk 3/24 nonegotiate dot1q",
            "set span 3/1,3/2 3/24 both inpkts disable filter 200 create",
        ];
        assert_eq!(pasted, expected);
        assert_explained(&comments);
    }

    #[test]
    fn junos_mirrors_a_port_in_both_directions_and_a_vlan_where_it_is_entered() {
        let (pasted, comments) = template(Switch::Junos, &[], "", None);
        let expected = [
            "set forwarding-options analyzer silentmon input ingress interface ge-0/0/1.0",
            "set forwarding-options analyzer silentmon input egress interface ge-0/0/1.0",
            "set forwarding-options analyzer silentmon output interface ge-0/0/23.0",
            "commit",
        ];
        assert_eq!(pasted, expected);
        assert_explained(&comments);
        let (pasted, _) = template(Switch::Junos, &[], "", Some(200));
        assert_eq!(
            pasted[0],
            "set forwarding-options analyzer silentmon input ingress vlan 200"
        );
    }

    #[test]
    fn aruba_takes_whole_ports() {
        let (pasted, comments) = template(Switch::Aruba, &["1/1/1"], "1/1/9", None);
        let expected = [
            "mirror session 1",
            "    source interface 1/1/1 both",
            "    destination interface 1/1/9",
            "    enable",
        ];
        assert_eq!(pasted, expected);
        assert_explained(&comments);
        let refused = TemplateArgs {
            switch: Switch::Aruba,
            source: Vec::new(),
            destination: None,
            vlan: Some(200),
        };
        assert!(refused.lines().is_err());
    }

    #[test]
    fn esxi_lets_all_vlans_through_and_accepts_promiscuity() {
        let (pasted, comments) = template(Switch::Esxi, &[], "", None);
        let expected = [
            "esxcli network vswitch standard portgroup add --portgroup-name=\"silentmon-span\" --vswitch-name=\"vSwitch1\"",
            "esxcli network vswitch standard portgroup set --portgroup-name=\"silentmon-span\" --vlan-id=4095",
            "esxcli network vswitch standard portgroup policy security set --portgroup-name=\"silentmon-span\" \
             --allow-promiscuous=true",
        ];
        assert_eq!(pasted, expected);
        assert_explained(&comments);
    }

    #[test]
    fn hyperv_makes_the_external_port_the_source_and_the_adapter_a_trunk() {
        let (pasted, comments) = template(Switch::Hyperv, &["Mirror switch"], "monitor 1", Some(200));
        let expected = [
            "Add-VMNetworkAdapter -VMName \"monitor 1\" -Name \"span\" -SwitchName \"Mirror switch\"",
            "Set-VMNetworkAdapter -VMName \"monitor 1\" -Name \"span\" -PortMirroring Destination",
            "Set-VMNetworkAdapterVlan -VMName \"monitor 1\" -VMNetworkAdapterName \"span\" -Trunk -AllowedVlanIdList \
             \"200\" -NativeVlanId 0",
            "$feature = Get-VMSystemSwitchExtensionPortFeature -FeatureId 776e0ba7-94a1-41c8-8f28-951f524251b5",
            "$feature.SettingData.MonitorMode = 2",
            "Add-VMSwitchExtensionPortFeature -ExternalPort -SwitchName \"Mirror switch\" -VMSwitchExtensionFeature \
             $feature",
        ];
        assert_eq!(pasted, expected);
        assert_explained(&comments);
    }

    #[test]
    fn a_name_that_would_end_the_line_is_refused() {
        for text in ["Gi1/0/1\nreload", "a\"; b", "$(x)", "", " ", "-x"] {
            assert!(name(text).is_err(), "{text:?}");
        }
        assert_eq!(name(" GigabitEthernet 1/0/1"), Ok("GigabitEthernet 1/0/1".to_owned()));
    }
}
