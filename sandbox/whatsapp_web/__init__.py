"""A stand-in for WhatsApp: its web page, its servers and the phones of its users."""
