"""The wire: `hem.cddl`, strict codecs of its messages, MCTP-over-serial framing. Imports neither of its users."""
