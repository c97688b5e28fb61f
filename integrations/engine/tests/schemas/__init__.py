"""Small files as tills and back offices really export them, each with the contract that its owner would write."""
