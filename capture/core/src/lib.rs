//! The deciding half of the capture server, sans-IO: who is monitored, whose packets matter, what is sent to whom.
//!
//! A packet's way: [`filter`] (is it wanted?), [`stream`] (is it RTP, new, in clear?), [`engine`] (who hears it?),
//! [`session`] (what goes out?), [`resend`] (what goes out again?), [`attribution`] (where was what is missing lost?),
//! [`diagnosis`] (why is there sound, or none?). Beside it stands [`survey`]: what a mirror port delivers at all, asked
//! before anyone listens; and [`cluster`]: what other capture servers know. What they capture joins what is captured here in
//! [`copies`].

pub mod addressing;
pub mod attribution;
pub mod cluster;
pub mod copies;
pub mod diagnosis;
pub mod directory;
pub mod engine;
pub mod filter;
pub mod link;
pub mod policy;
pub mod resend;
pub mod resolver;
pub mod session;
pub mod stream;
pub mod survey;
