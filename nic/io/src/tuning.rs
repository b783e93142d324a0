//! Changes a setting and puts it back, whatever happens in between.

use std::time::{Duration, Instant};

use silentmon_nic_core::plan::FCS;

use crate::port::{Interface, PortError, Setting, Value};

/// An MTU with room for two tags beside 1500 bytes of payload.
const MTU_FOR_TWO_TAGS: u32 = 1500 + 2 * FCS as u32;
/// How long a link may take to come back after a change.
const LINK_COMES_BACK: Duration = Duration::from_secs(6);

/// A changed setting, put back when this is dropped.
pub struct Changed<'a> {
    interface: &'a dyn Interface,
    setting: Setting,
    before: Value,
    is_back: bool,
}

/// What could help: a value other than the present one.
pub fn worth_trying(interface: &dyn Interface, setting: Setting) -> Option<(Value, Value)> {
    let (before, changeable) = interface.setting(setting)?;
    let to = match (setting, before) {
        (Setting::Mtu, Value::Bytes(mtu)) => (mtu < MTU_FOR_TWO_TAGS).then_some(Value::Bytes(MTU_FOR_TWO_TAGS)),
        // Some hardware loses tags it doesn't take out.
        (Setting::VlanOffload, Value::Off) => Some(Value::On),
        (_, Value::On) => Some(Value::Off),
        (_, Value::Off | Value::Bytes(_)) => None,
    }?;
    changeable.then_some((before, to))
}

impl<'a> Changed<'a> {
    /// Changes a setting and waits for the link to come back.
    ///
    /// # Errors
    /// Where the driver refuses; then nothing is changed.
    pub fn apply(interface: &'a dyn Interface, setting: Setting, before: Value, to: Value) -> Result<Self, PortError> {
        // Made before the change, so that a change that half succeeded is put back too.
        let changed = Self {
            interface,
            setting,
            before,
            is_back: false,
        };
        interface.set(setting, to)?;
        changed.await_link();
        Ok(changed)
    }

    /// Puts it back and says whether that worked.
    pub fn put_back(mut self) -> bool {
        self.is_back = self.restore();
        self.is_back
    }

    fn restore(&self) -> bool {
        let done = self.interface.set(self.setting, self.before);
        if let Err(error) = &done {
            tracing::error!(%error, "{} of {} wasn't put back to {}", self.setting.name(), self.interface.name(), self.before);
        }
        self.await_link();
        done.is_ok()
    }

    fn await_link(&self) {
        let begun = Instant::now();
        while !self.interface.facts().has_link && begun.elapsed() < LINK_COMES_BACK {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        if !self.is_back {
            self.restore();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use silentmon_nic_core::mac::MacAddress;

    use super::*;
    use crate::port::Facts;

    struct Fake {
        mtu: Mutex<u32>,
        is_stubborn: bool,
    }

    impl Interface for Fake {
        fn name(&self) -> &'static str {
            "fake0"
        }

        fn facts(&self) -> Facts {
            Facts {
                interface: "fake0".to_owned(),
                address: MacAddress::FOREIGN,
                driver: String::new(),
                driver_version: String::new(),
                firmware: String::new(),
                bus: String::new(),
                is_up: true,
                has_link: true,
                speed_mbit: None,
                mtu: *self.mtu.lock().expect("no panic"),
                settings: Vec::new(),
            }
        }

        fn lost(&self) -> u64 {
            0
        }

        fn setting(&self, setting: Setting) -> Option<(Value, bool)> {
            match setting {
                Setting::Mtu => Some((Value::Bytes(self.facts().mtu), true)),
                Setting::VlanFilter => Some((Value::On, false)),
                Setting::VlanOffload | Setting::GenericReceiveOffload => Some((Value::Off, true)),
                Setting::LargeReceiveOffload => None,
            }
        }

        fn set(&self, _: Setting, value: Value) -> Result<(), PortError> {
            let Value::Bytes(mtu) = value else {
                return Err(PortError::Down("fake0".to_owned()));
            };
            *self.mtu.lock().expect("no panic") = mtu;
            if self.is_stubborn {
                return Err(PortError::Down("fake0".to_owned()));
            }
            Ok(())
        }
    }

    fn fake(is_stubborn: bool) -> Fake {
        let mtu = Mutex::new(1500);
        Fake { mtu, is_stubborn }
    }

    const RAISED: (Value, Value) = (Value::Bytes(1500), Value::Bytes(1508));

    #[test]
    fn only_what_would_change_and_can_is_tried() {
        let fake = fake(false);
        let tried = Setting::ALL.map(|setting| worth_trying(&fake, setting));
        assert_eq!(tried, [None, Some((Value::Off, Value::On)), None, None, Some(RAISED)]);
    }

    #[test]
    fn a_setting_is_put_back_when_it_is_asked_for_and_when_it_is_forgotten() {
        let fake = fake(false);
        for forgotten in [false, true] {
            let changed = Changed::apply(&fake, Setting::Mtu, RAISED.0, RAISED.1).ok();
            assert_eq!(fake.facts().mtu, 1508);
            if forgotten {
                drop(changed);
            } else {
                assert_eq!(changed.map(Changed::put_back), Some(true));
            }
            assert_eq!(fake.facts().mtu, 1500);
        }
    }

    #[test]
    fn a_change_that_half_succeeded_is_put_back() {
        let fake = fake(true);
        assert!(Changed::apply(&fake, Setting::Mtu, RAISED.0, RAISED.1).is_err());
        assert_eq!(fake.facts().mtu, 1500);
    }
}
