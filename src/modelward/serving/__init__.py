"""What a vault gives to servers that only their API reaches."""
