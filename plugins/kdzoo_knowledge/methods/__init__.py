"""Rules in the loss, one method a back end, and rules in what is deployed."""
