"""The dashboard: pages made on the server from the documents that the API answers with."""
