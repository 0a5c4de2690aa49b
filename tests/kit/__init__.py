"""What tests of several rooms need: small real things to test with, and commands run as a user would run them."""
