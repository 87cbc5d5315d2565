"""What tests stand on: real servers, fakes that keep their contract, builders. No tests here."""
