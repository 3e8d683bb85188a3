"""The servers that answer prompts, each behind the Runtime port."""
