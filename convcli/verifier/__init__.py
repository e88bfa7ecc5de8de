"""The verifier: exact arithmetic first, running error bounds second, backends in processes of their own."""
