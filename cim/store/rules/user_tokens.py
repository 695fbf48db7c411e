"""Rules about the tokens that API keys make for users."""

from cim.user_tokens import MOST

#: What is said to a back end that makes too many.
TOO_MANY = f"this user has {MOST} tokens: revoke some, or make them for a shorter time"
