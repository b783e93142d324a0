//! RisPort70: asks a Unified CM at which IP address a phone is registered (protocol sheet 5).
//!
//! One SOAP operation, `selectCmDevice`, by device name or by directory number.

use std::fmt::Write as _;
use std::net::IpAddr;

use thiserror::Error;

use super::xml::{self, Element, XmlError, escape};

/// Path of the service.
pub const PATH: &str = "/realtimeservice2/services/RISService70";
/// `SOAPAction` of the request.
pub const ACTION: &str = "selectCmDevice";
/// Most names or numbers of one request.
pub const MAX_ITEMS: usize = 1000;

/// What the names of a request are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelectBy {
    /// Device names, `SEP001122334455`.
    Name,
    /// Directory numbers, `3001`.
    DirNumber,
}

/// A device as one node of the cluster knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CmDevice {
    /// Its name.
    pub name: String,
    /// Its directory numbers.
    pub dir_numbers: Vec<String>,
    /// Its IP address, IPv4 before IPv6.
    pub address: Option<IpAddr>,
    /// Whether it is registered at the node.
    pub registered: bool,
    /// When its status last changed, in seconds since 1970.
    pub time_stamp: u64,
}

/// An answer without devices.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RisPortError {
    /// It is no XML that is read here.
    #[error("{0}")]
    Xml(#[from] XmlError),
    /// The server refuses: too many requests in a minute.
    #[error("the server's request rate is exceeded: {0}")]
    RateExceeded(String),
    /// The server refuses for another reason.
    #[error("SOAP fault: {0}")]
    Fault(String),
    /// It is no answer to `selectCmDevice`.
    #[error("expected SelectCmDeviceResult, found <{0}>")]
    NoResult(String),
}

/// Asks for registered and unregistered phones of these names or numbers.
pub fn select_cm_device<'a>(select_by: SelectBy, items: impl IntoIterator<Item = &'a str>) -> String {
    let by = match select_by {
        SelectBy::Name => "Name",
        SelectBy::DirNumber => "DirNumber",
    };
    let mut list = String::new();
    for item in items {
        // Writing to a String can't fail.
        let _ = write!(list, "<soap:item><soap:Item>{}</soap:Item></soap:item>", escape(item));
    }
    format!(
        "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:soap=\"http://schemas.cisco.com/ast/soap\"><soapenv:Header/><soapenv:Body><soap:selectCmDevice>\
         <soap:StateInfo></soap:StateInfo><soap:CmSelectionCriteria>\
         <soap:MaxReturnedDevices>{MAX_ITEMS}</soap:MaxReturnedDevices><soap:DeviceClass>Any</soap:DeviceClass>\
         <soap:Model>255</soap:Model><soap:Status>Any</soap:Status><soap:NodeName></soap:NodeName>\
         <soap:SelectBy>{by}</soap:SelectBy><soap:SelectItems>{list}</soap:SelectItems>\
         <soap:Protocol>Any</soap:Protocol><soap:DownloadStatus>Any</soap:DownloadStatus>\
         </soap:CmSelectionCriteria></soap:selectCmDevice></soapenv:Body></soapenv:Envelope>"
    )
}

/// Reads the devices of all nodes; a device that several nodes know comes several times.
///
/// # Errors
/// Where it is no XML, a fault, or something else.
pub fn parse(body: &[u8]) -> Result<Vec<CmDevice>, RisPortError> {
    let root = xml::parse(body)?;
    if let Some(fault) = root.descendant("Fault") {
        let words = fault
            .descendant("faultstring")
            .or_else(|| fault.descendant("Text"))
            .and_then(Element::own_text)
            .unwrap_or("without a word")
            .to_owned();
        return Err(if words.contains("Exceeded allowed rate") {
            RisPortError::RateExceeded(words)
        } else {
            RisPortError::Fault(words)
        });
    }
    // Older servers leave out SelectCmDeviceResult.
    let nodes = root.descendant("CmNodes");
    if nodes.is_none() && root.descendant("SelectCmDeviceResult").is_none() {
        return Err(RisPortError::NoResult(root.name));
    }
    let nodes = nodes.map_or(&[][..], |nodes| &nodes.children);
    let devices = nodes.iter().filter_map(|node| node.child("CmDevices"));
    Ok(devices
        .flat_map(|devices| &devices.children)
        .filter_map(CmDevice::read)
        .collect())
}

impl CmDevice {
    fn read(element: &Element) -> Option<Self> {
        Some(Self {
            name: element.child_text("Name")?.to_owned(),
            dir_numbers: dir_numbers(element),
            address: address(element),
            registered: element.child_text("Status") == Some("Registered"),
            time_stamp: element
                .child_text("TimeStamp")
                .and_then(|text| text.parse().ok())
                .unwrap_or_default(),
        })
    }
}

/// A list of lines, and `3001-Registered,3002-Unregistered` or `3001` before there were such lists.
fn dir_numbers(element: &Element) -> Vec<String> {
    let lines = element.child("LinesStatus").map_or(&[][..], |lines| &lines.children);
    let listed = lines.iter().filter_map(|line| line.child_text("DirectoryNumber"));
    let joined = element.child_text("DirNumber").unwrap_or_default().split(',');
    let joined = joined.map(|number| number.split('-').next().unwrap_or_default().trim());
    let mut numbers: Vec<String> = Vec::new();
    for number in listed.chain(joined).filter(|number| !number.is_empty()) {
        if !numbers.iter().any(|known| known == number) {
            numbers.push(number.to_owned());
        }
    }
    numbers
}

/// A list of addresses with their types, or one bare address before there were such lists.
fn address(element: &Element) -> Option<IpAddr> {
    let outer = element.child_any_case("IPAddress")?;
    let listed = outer.children_named("item").filter_map(|item| item.child_text("IP"));
    let mut addresses: Vec<IpAddr> = listed
        .chain(outer.own_text())
        .filter_map(|text| text.parse().ok())
        .filter(|address: &IpAddr| !address.is_unspecified())
        .collect();
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses.first().copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(nodes: &str) -> String {
        format!(
            "<?xml version='1.0' encoding='utf-8'?><soapenv:Envelope \
             xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"><soapenv:Body><ns1:selectCmDeviceResponse \
             xmlns:ns1=\"http://schemas.cisco.com/ast/soap\"><ns1:selectCmDeviceReturn><ns1:SelectCmDeviceResult>\
             <ns1:TotalDevicesFound>1</ns1:TotalDevicesFound><ns1:CmNodes>{nodes}</ns1:CmNodes>\
             </ns1:SelectCmDeviceResult><ns1:StateInfo/></ns1:selectCmDeviceReturn></ns1:selectCmDeviceResponse>\
             </soapenv:Body></soapenv:Envelope>"
        )
    }

    fn node(devices: &str) -> String {
        format!(
            "<ns1:item><ns1:ReturnCode>Ok</ns1:ReturnCode><ns1:Name>cucm1</ns1:Name><ns1:NoChange>false</ns1:NoChange>\
             <ns1:CmDevices>{devices}</ns1:CmDevices></ns1:item>"
        )
    }

    #[test]
    fn reads_the_devices_of_every_node() {
        let first = "<ns1:item><ns1:Name>SEP001122334455</ns1:Name><ns1:DirNumber>3001-Registered,3002-Registered</ns1:DirNumber>\
            <ns1:Status>Registered</ns1:Status><ns1:LinesStatus><ns1:item><ns1:DirectoryNumber>3001</ns1:DirectoryNumber>\
            <ns1:Status>Registered</ns1:Status></ns1:item></ns1:LinesStatus><ns1:TimeStamp>1474900000</ns1:TimeStamp>\
            <ns1:IPAddress><ns1:item><ns1:IP>2001:db8::20</ns1:IP><ns1:IPAddrType>ipv6</ns1:IPAddrType></ns1:item>\
            <ns1:item><ns1:IP>10.1.1.20</ns1:IP><ns1:IPAddrType>ipv4</ns1:IPAddrType><ns1:Attribute>Unknown</ns1:Attribute>\
            </ns1:item></ns1:IPAddress></ns1:item>";
        let second = "<ns1:item><ns1:Name>SEP001122334456</ns1:Name><ns1:IpAddress>10.1.1.21</ns1:IpAddress>\
            <ns1:DirNumber>3003</ns1:DirNumber><ns1:Status>UnRegistered</ns1:Status></ns1:item>";
        let empty = "<ns1:item><ns1:ReturnCode>NotFound</ns1:ReturnCode><ns1:CmDevices/></ns1:item>";
        let text = answer(&[&node(first), empty, &node(second)].concat());
        assert_eq!(
            parse(text.as_bytes()),
            Ok(vec![
                CmDevice {
                    name: "SEP001122334455".into(),
                    dir_numbers: vec!["3001".into(), "3002".into()],
                    address: Some([10, 1, 1, 20].into()),
                    registered: true,
                    time_stamp: 1_474_900_000,
                },
                CmDevice {
                    name: "SEP001122334456".into(),
                    dir_numbers: vec!["3003".into()],
                    address: Some([10, 1, 1, 21].into()),
                    registered: false,
                    time_stamp: 0,
                },
            ])
        );
    }

    #[test]
    fn no_device_is_an_answer_too() {
        assert_eq!(parse(answer("").as_bytes()), Ok(vec![]));
    }

    #[test]
    fn a_fault_is_told_in_the_servers_words_and_a_rate_limit_apart() {
        let fault = |words| {
            parse(format!(
                "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"><soapenv:Body><soapenv:Fault>\
                 <faultcode>soapenv:Server</faultcode><faultstring>{words}</faultstring></soapenv:Fault></soapenv:Body>\
                 </soapenv:Envelope>"
            ).as_bytes())
        };
        let rate = "AxisFault: Exceeded allowed rate for Reatime information. Current allowed rate for realtime information is 15 requests per minute.";
        assert_eq!(fault(rate), Err(RisPortError::RateExceeded(rate.into())));
        assert_eq!(fault("No such"), Err(RisPortError::Fault("No such".into())));
        assert_eq!(parse(b"<html/>"), Err(RisPortError::NoResult("html".into())));
    }

    #[test]
    fn asks_by_name_or_number_with_names_escaped() {
        let body = select_cm_device(SelectBy::DirNumber, ["3001", "a<b"]);
        assert!(body.contains("<soap:SelectBy>DirNumber</soap:SelectBy>"), "{body}");
        assert!(
            body.contains("<soap:item><soap:Item>3001</soap:Item></soap:item><soap:item><soap:Item>a&lt;b</soap:Item>"),
            "{body}"
        );
        assert!(xml::parse(body.as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }
    }
}
