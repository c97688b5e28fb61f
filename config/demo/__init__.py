"""The demo: three tenants with real retail data, told from onboarding to a request that waits for a person."""
