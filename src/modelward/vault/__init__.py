"""The vault on a local disk: an OCI image layout with records, receipts, trash and quarantine beside it."""
