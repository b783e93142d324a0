//! The SIP dialogs of the play, between the phone of extension 3001 and its PBX (RFC 3261, RFC 3264).

use super::media::Mirror;

const PHONE: &str = "10.1.1.20:5060";
const PBX: &str = "10.1.1.2:5060";

struct Dialog {
    id: &'static str,
    phone_port: u16,
    far_port: u16,
}

impl Dialog {
    /// The PBX calls the phone, which answers.
    fn answered(&self, mirror: Mirror, at: f64) -> Mirror {
        let far = sdp("10.1.1.99", self.far_port, "sendrecv", 1);
        let phone = sdp("10.1.1.20", self.phone_port, "sendrecv", 1);
        mirror
            .sip(at - 0.3, PBX, PHONE, &self.request("INVITE", 1, &far))
            .sip(at, PHONE, PBX, &self.answer("INVITE", 1, &phone))
            .sip(at + 0.01, PBX, PHONE, &self.request("ACK", 1, ""))
    }

    /// The phone holds the call, or takes it back.
    fn offered(&self, mirror: Mirror, at: f64, direction: &str, number: u32) -> Mirror {
        let reply = if direction == "sendonly" {
            "recvonly"
        } else {
            "sendrecv"
        };
        let phone = sdp("10.1.1.20", self.phone_port, direction, number);
        let far = sdp("10.1.1.99", self.far_port, reply, number);
        mirror
            .sip(at - 0.02, PHONE, PBX, &self.reversed("INVITE", number, &phone))
            .sip(at - 0.01, PBX, PHONE, &self.reversed_answer("INVITE", number, &far))
            .sip(at, PHONE, PBX, &self.reversed("ACK", number, ""))
    }

    fn ended(&self, mirror: Mirror, at: f64) -> Mirror {
        mirror
            .sip(at, PBX, PHONE, &self.request("BYE", 9, ""))
            .sip(at + 0.01, PHONE, PBX, &self.answer("BYE", 9, ""))
    }

    fn request(&self, method: &str, number: u32, body: &str) -> String {
        let line = format!("{method} sip:3001@{PHONE} SIP/2.0");
        self.message(&line, method, number, PBX, ("pbx", "phone"), body)
    }

    fn answer(&self, method: &str, number: u32, body: &str) -> String {
        self.message("SIP/2.0 200 OK", method, number, PBX, ("pbx", "phone"), body)
    }

    fn reversed(&self, method: &str, number: u32, body: &str) -> String {
        let line = format!("{method} sip:pbx@{PBX} SIP/2.0");
        self.message(&line, method, number, PHONE, ("phone", "pbx"), body)
    }

    fn reversed_answer(&self, method: &str, number: u32, body: &str) -> String {
        self.message("SIP/2.0 200 OK", method, number, PHONE, ("phone", "pbx"), body)
    }

    fn message(&self, line: &str, method: &str, number: u32, via: &str, ends: (&str, &str), body: &str) -> String {
        let id = self.id;
        let end = |whose: &str| match whose {
            "phone" => format!("<sip:3001@10.1.1.2>;tag=phone-{id}"),
            _ => format!("<sip:5551234@10.1.1.2>;tag=pbx-{id}"),
        };
        let contact = if line.contains("200") == (via == PBX) {
            "<sip:3001@10.1.1.20:5060>"
        } else {
            "<sip:pbx@10.1.1.2:5060>"
        };
        let (from, to, length) = (end(ends.0), end(ends.1), body.len());
        format!(
            "{line}\r\nVia: SIP/2.0/UDP {via};branch=z9hG4bK{id}{number}{method}\r\nFrom: {from}\r\nTo: {to}\r\n\
             Call-ID: {id}@10.1.1.2\r\nCSeq: {number} {method}\r\nContact: {contact}\r\nMax-Forwards: 70\r\n\
             Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    }
}

fn sdp(ip: &str, port: u16, direction: &str, version: u32) -> String {
    format!(
        "v=0\r\no=- 1 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n\
         a=rtpmap:0 PCMU/8000\r\na={direction}\r\n"
    )
}

/// The play's dialogs put among its media.
pub fn with_sip(mirror: Mirror) -> Mirror {
    let dialog = |id, phone_port, far_port| Dialog {
        id,
        phone_port,
        far_port,
    };
    let (first, consult, next) = (
        dialog("d81", 24678, 18000),
        dialog("d82", 24700, 18002),
        dialog("d83", 24720, 18004),
    );
    let mirror = first.answered(mirror, 5.0);
    let mirror = first.offered(mirror, 9.0, "sendonly", 2);
    let mirror = consult.ended(consult.answered(mirror, 10.0), 13.0);
    let mirror = first.offered(mirror, 14.0, "sendrecv", 3);
    let mirror = first.ended(mirror, 17.0);
    next.ended(next.answered(mirror, 19.0), 22.0)
}
