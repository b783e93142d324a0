//! The bytes of protocol sheet 1.8 go in as they are: nothing here was made by the codec.

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal");
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn told(version: u32, messages: &[&str]) -> String {
    let mut settings = settings();
    settings.protocol_version = ProtocolVersion(version);
    let mut lab = Lab::new(settings);
    lab.opening(A);
    for message in messages {
        lab.bytes(A, &hex(message));
    }
    let lines = lab.take_cti().into_iter().map(|event| {
        let line = match event {
            CtiEvent::AgentState(agent) => format!("agent {} {:?}", agent.agent, agent.state),
            CtiEvent::Call(call) => format!("call {} {:?} acd {:?}", call.call, call.kind, call.acd),
            CtiEvent::CallEnded(call) => format!("call {} ended", call.call),
            CtiEvent::CallVariables(told) => format!("call {} has {:?}", told.call, told.variables),
            CtiEvent::MediaStarted(media) => {
                let remote = media.remote.map_or(String::new(), |remote| format!(" to {remote}"));
                format!("{:?} at {}{remote}", media.direction, media.address)
            }
            CtiEvent::MediaStopped(media) => format!("{:?} stopped", media.direction),
            CtiEvent::Team(team) => format!("team {} of {}", team.team, team.members.len()),
            CtiEvent::Link(link) => format!("link down {:?}", link.down),
            other => format!("{other:?}"),
        };
        line + "\n"
    });
    lines.collect()
}

#[test]
fn the_sheets_bytes_of_version_14_tell_an_agents_call() {
    let told = told(
        14,
        &[
            "0000002800000004 00000001 00000012 00000000 00000000 673da060 0001 0011 0000
             e4 02 0001  d0 04 00001388  e0 02 0000",
            "0000001a0000001f 00000000 673da060 00000003 00001388 00000000 00000000 ffff",
            "0000004300000017 00000000 00001388 0011 0000 0000 0000 0001 0000 01000081 0000  19053330303100
             080835353531323334 00 0a053830303100 0d066b65792d3100 0f07637573742d3100",
            "000000510000000a00000000000013880011000001000081ffff0000ffffffffffffffff0000138900001389000000000000
             0000ffff0003001619053330303100 1e053330303100 1b083535353132333400 1c053830303100",
            "0000004d00000074 00000000 00001388 00006066 0000 0000 00000000 0000 00000014 0004 0000 01000081
             19053330303100 510d31302e38362e3134332e323000 05053130303100 04053330303100 06053330303100",
            "0000006200000074 00000000 00001388 00006066 0001 0000 00000000 0000 00000014 0004 0000 01000081
             19053330303100 510d31302e38362e3134332e323000 05053130303100 04053330303100 06053330303100
             7d0d31302e38362e3134332e393900 7e0400004650",
            "0000003f00000075 00000000 00001388 00006066 0000 0000 01000081  19053330303100
             510d31302e38362e3134332e323000 05053130303100 04053330303100 06053330303100",
            "0000004f0000001e0000000000001388000000000011000400000000000013890000138900000004000000000001000000010001
             000000010000138c000000000000 05053130303100 04053330303100 06053330303100",
            "0000001b0000000d000000000000138800110000010000810000ffff19053330303100",
            "0000001700000018000000000000138800110000 01000081 19053330303100",
        ],
    );
    let expected = "\
        link down None\n\
        call 5000/16777345 has {\"CallVariable1\": \"key-1\", \"CallVariable3\": \"cust-1\"}\n\
        call 5000/16777345 Established acd Some(true)\n\
        Some(Receive) at 10.86.143.20:24678\n\
        Some(Send) at 10.86.143.20:24678 to 10.86.143.99:18000\n\
        Some(Receive) stopped\n\
        agent 1001 Talking\n\
        call 5000/16777345 ended\n";
    assert_eq!(told, expected);
}

#[test]
fn the_sheets_bytes_of_version_24_tell_media_an_agent_and_a_team() {
    let told = told(
        24,
        &[
            "0000003400000004 00000001 00000010 00000000 00000000 673da060 0001 0011 0000 00000000 0001
             00e4 0002 0001  00d0 0004 00001388  00e0 0002 0000",
            "0000005700000074000000000000138800006066000000000000000000000000001400040000010000810019000533303031
             000051000d31302e38362e3134332e323000000500053130303100000400053330303100000600053330303100",
            "0000007000000074000000000000138800006066000100000000000000000000001400040000010000810019000533303031
             000051000d31302e38362e3134332e323000000500053130303100000400053330303100000600053330303100
             007d000d31302e38362e3134332e393900007e000400004650",
            "000000610000001e0000000000001388000000000011000400000000000013890000138900000004000000000001000000010001
             000000010000138c0000000000000000000000050005313030310000040005333030310000060005333030310000f4000400000001",
            "00000054000000800000138800001392000200010000000000f300065465616d4100005600053230303100005700020004005800
             020003005900040000003c0056000531303031000057000200000058000200040059000400000005",
        ],
    );
    let expected = "\
        link down None\n\
        Some(Receive) at 10.86.143.20:24678\n\
        Some(Send) at 10.86.143.20:24678 to 10.86.143.99:18000\n\
        agent 1001 Talking\n\
        team TeamA of 2\n";
    assert_eq!(told, expected);
}
