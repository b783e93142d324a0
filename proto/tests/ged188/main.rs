//! Messages of the CTI Server: wire samples of the protocol sheet, samples of two independent implementations, layouts
//! of each version, framing.
#![cfg(test)]

mod codes;
mod framing;
mod layouts;
mod notation;
mod properties;
mod samples;
mod wire;
